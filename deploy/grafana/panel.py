"""A panel in a few words, and what Grafana's classic model makes of it.

Written for Grafana 11 and later (`dashboard.SCHEMA_VERSION`); Grafana itself has never shown these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["curves", "stat", "table", "heatmap"]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
NOTHING = "nothing yet"
"""Where there is no value, or one of 0 / 0."""
_TYPES: Mapping[Kind, str] = {"curves": "timeseries", "stat": "stat", "table": "table", "heatmap": "heatmap"}


@dataclass(frozen=True, slots=True)
class Query:
    """One expression.

    Attributes:
        legend: name of its curves, `{{label}}` for a label's value.
        dashed: drawn as what others are held against.
        once: one value for the whole time range, not one per step.
    """

    expr: str
    legend: str = ""
    dashed: bool = False
    once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One question and its answer.

    Attributes:
        title: what is shown; says = which question it answers, and what is good.
        unit: as Grafana calls it.
        width: in columns of 24; height: in rows of 38 pixels.
        limit: beyond it is bad: a line in curves, a colour in a stat. None: there is no such value.
        stacked: the curves add up to something.
        top: of the vertical axis, where it is known.
        log: the curves are decades apart, and are to be read all the same.
        crowded: so many curves that their names stand on the right.
        decimals: None: as many as fit.
        nothing: shown where there is no value.
    """

    title: str
    says: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = "curves"
    width: int = 12
    height: int = 8
    limit: float | None = None
    stacked: bool = False
    top: float | None = None
    log: bool = False
    crowded: bool = False
    decimals: int | None = None
    nothing: str = NOTHING

    def json(self, number: int, x: int, y: int) -> Json:
        """The panel at a place."""
        return {
            "id": number,
            "type": _TYPES[self.kind],
            "title": self.title,
            "description": self.says,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "fieldConfig": {"defaults": self._defaults(), "overrides": self._overrides()},
            "options": _OPTIONS[self.kind](self),
            "targets": [self._target(at, query) for at, query in enumerate(self.queries)],
            **({"transformations": _COLUMNS} if self.kind == "table" else {}),
        }

    def _target(self, at: int, query: Query) -> Json:
        formats = {"table": "table", "heatmap": "heatmap"}
        return {
            "refId": chr(ord("A") + at),
            "datasource": DATASOURCE,
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "format": formats.get(self.kind, "time_series"),
            "instant": query.once,
            "range": not query.once,
            "editorMode": "code",
        }

    def _defaults(self) -> Json:
        steps: list[Json] = [{"color": "text" if self.limit is None else "green", "value": None}]
        if self.limit is not None:
            steps.append({"color": "red", "value": self.limit})
        found: Json = {
            "unit": self.unit,
            "noValue": self.nothing,
            "color": {"mode": "palette-classic" if self.kind == "curves" else "thresholds"},
            "thresholds": {"mode": "absolute", "steps": steps},
            "mappings": [_no_number(self.nothing)] if self.kind == "stat" else [],
        }
        if self.decimals is not None:
            found["decimals"] = self.decimals
        if self.kind == "curves":
            found |= {"custom": self._drawn()}
            if not self.log:
                found["min"] = 0
            if self.top is not None:
                found["max"] = self.top
        return found

    def _drawn(self) -> Json:
        return {
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 1,
            "fillOpacity": 25 if self.stacked else 0,
            "scaleDistribution": {"type": "log", "log": 10} if self.log else {"type": "linear"},
            "showPoints": "never",
            # A gap is a time without a value (nothing ran): bridged, it would look like one.
            "spanNulls": False,
            "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if self.limit is None else "dashed"},
        }

    def _overrides(self) -> list[Json]:
        if self.kind == "table":
            return _STATES
        dash = [{"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}}]
        return [
            {"matcher": {"id": "byFrameRefID", "options": chr(ord("A") + at)}, "properties": dash}
            for at, query in enumerate(self.queries)
            if query.dashed
        ]


def _no_number(text: str) -> Json:
    return {"type": "special", "options": {"match": "null+nan", "result": {"text": text, "index": 0}}}


def _curves(panel: Panel) -> Json:
    return {
        "legend": {
            "displayMode": "list",
            "placement": "right" if panel.crowded else "bottom",
            "showLegend": True,
            "calcs": [],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _stat(panel: Panel) -> Json:
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "none" if panel.limit is None else "background",
        "graphMode": "none" if panel.queries[0].once else "area",
        "textMode": "value",
        "justifyMode": "center",
        "orientation": "auto",
    }


def _table(panel: Panel) -> Json:
    return {"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": "model", "desc": False}]}


def _heatmap(panel: Panel) -> Json:
    return {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "short"},
        "color": {"mode": "scheme", "scheme": "Blues", "scale": "exponential", "exponent": 0.5, "steps": 64},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "unit": panel.unit},
    }


_OPTIONS = {"curves": _curves, "stat": _stat, "table": _table, "heatmap": _heatmap}
_COLUMNS: list[Json] = [
    {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": {"Value": "servers"}}}
]
_STATES: list[Json] = [
    {
        "matcher": {"id": "byName", "options": "state"},
        "properties": [
            {"id": "custom.cellOptions", "value": {"type": "color-text"}},
            {
                "id": "mappings",
                "value": [{"type": "value", "options": {"refused": {"color": "red", "index": 0}}}],
            },
        ],
    }
]
"""Of the table of versions: one that a server refused to load is red."""
