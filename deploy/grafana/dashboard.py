"""A dashboard: titled rows of panels, laid out from left to right, and the variables that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy.grafana.panel import DATASOURCE, Json, Panel

SCHEMA_VERSION = 39
"""Of Grafana 11.0; later ones lift it as they load it."""
COLUMNS = 24
EVERYTHING = ".+"
"""What "All" stands for: every series that has the label."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a question."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One page.

    Attributes:
        uid: its address, `/d/UID`; never changes.
        links: (title, uid) of the pages to go to from here.
    """

    uid: str
    title: str
    says: str
    rows: Sequence[Row]
    links: Sequence[tuple[str, str]]

    def json(self) -> Json:
        """Grafana's classic model."""
        return {
            "id": None,
            "uid": self.uid,
            "title": self.title,
            "description": self.says,
            "tags": ["podium"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "timezone": "browser",
            "time": {"from": "now-30m", "to": "now"},
            "refresh": "10s",
            "links": [_link(title, uid) for title, uid in self.links],
            "templating": {"list": [_source(), *_narrowing()]},
            "annotations": {"list": []},
            "panels": list(self._panels()),
        }

    def _panels(self) -> Iterator[Json]:
        number, y = 0, 0
        for row in self.rows:
            number += 1
            yield {
                "id": number,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
                "panels": [],
            }
            x, y, height = 0, y + 1, 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    x, y, height = 0, y + height, 0
                number += 1
                yield panel.json(number, x, y)
                x, height = x + panel.width, max(height, panel.height)
            y += height


def _link(title: str, uid: str) -> Json:
    return {
        "title": title,
        "type": "link",
        "url": f"/d/{uid}",
        "icon": "dashboard",
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "asDropdown": False,
        "tags": [],
        "tooltip": "",
    }


def _source() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
        "options": [],
        "regex": "",
        "refresh": 1,
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "skipUrlSync": False,
    }


def _narrowing() -> Iterator[Json]:
    instances = "label_values(podium_in_flight, instance)"
    models = 'label_values(podium_refusals_total{instance=~"$instance"}, model)'
    for name, label, query in (("instance", "Server", instances), ("model", "Model", models)):
        yield {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": name},
            "definition": query,
            "current": {"text": ["All"], "value": ["$__all"]},
            "options": [],
            "allValue": EVERYTHING,
            "includeAll": True,
            "multi": True,
            "refresh": 2,
            "regex": "",
            "sort": 1,
            "hide": 0,
            "skipUrlSync": False,
        }
