"""The committed dashboards as Grafana would use them: what each panel asks, with the variables filled in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.contract.source_tree import REPOSITORY
from tests.system.prometheus import SCRAPE_S, Prometheus, Series

FOLDER = REPOSITORY / "deploy" / "grafana" / "dashboards"
STEP_S = 1
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of a panel.

    Attributes:
        once: for the whole range, at its end.
    """

    dashboard: str
    panel: str
    name: str
    expr: str
    once: bool

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}, {self.name}"


@dataclass(frozen=True, slots=True)
class Span:
    """What a dashboard shows, in seconds since 1970."""

    began_s: float
    ended_s: float

    def variables(self, **chosen: str) -> Mapping[str, str]:
        """As Grafana sets them with a scrape a second and a point a second; all models of all servers."""
        return {
            "__rate_interval": f"{4 * SCRAPE_S}s",
            "__range": f"{math.ceil(self.ended_s - self.began_s)}s",
            "model": ".+",
            "instance": ".+",
        } | chosen


def dashboards() -> dict[str, Any]:
    """File name -> dashboard."""
    return {path.name: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def queries() -> Iterator[Asked]:
    """Every query of every panel."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield Asked(name, panel["title"], target["refId"], target["expr"], target["instant"])


def filled(text: str, variables: Mapping[str, str]) -> str:
    """The text with its variables' values.

    Raises:
        KeyError: a variable that nobody defines.
    """
    return _VARIABLE.sub(lambda found: variables[found[1] or found[2]], text)


def ask(prometheus: Prometheus, asked: Asked, span: Span, **chosen: str) -> Series:
    """What Prometheus answers; values stand under `values`."""
    began_s = span.ended_s if asked.once else span.began_s
    found: Series = prometheus.ask(
        "query_range",
        query=filled(asked.expr, span.variables(**chosen)),
        start=f"{began_s:.3f}",
        end=f"{span.ended_s:.3f}",
        step=f"{STEP_S}s",
    )["result"]
    return found


def fault(prometheus: Prometheus, asked: Asked, span: Span) -> str:
    """Why a person would look at this panel in vain; "" = they would not."""
    try:
        series = ask(prometheus, asked, span)
    except AssertionError as error:
        return str(error)
    values = [float(value) for one in series for _, value in one["values"]]
    numbers = [value for value in values if not math.isnan(value)]
    if not series:
        return "no series"
    if not numbers:
        return "not a number, all the time"
    return "" if any(numbers) else "zero, all the time"


def offered(prometheus: Prometheus, query: str, span: Span, **chosen: str) -> set[str]:
    """What a variable lets one choose from, by its `label_values(...)`."""
    found = _LABEL_VALUES.fullmatch(filled(query, span.variables(**chosen)))
    assert found is not None, query
    series = prometheus.ask(
        "series",
        **{"match[]": found[1], "start": f"{span.began_s:.3f}", "end": f"{span.ended_s:.3f}"},
    )
    return {one[found[2]] for one in series}
