"""What all figures share: a figure is data and layout for plotly.js, as plain values.

Colours are names of the page's own CSS variables (`--ink`), looked up in the browser, so that one figure is
right in light and in dark. Text of others is escaped, since plotly.js reads some markup in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from loadtest.report import words
from loadtest.result import Milliseconds

LEGEND: Final = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1.02,
    "yanchor": "bottom",
    "traceorder": "normal",
}
_FEW, _SOME, _MANY = (1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)
"""Ticks per decade."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the page.

    Attributes:
        name: of its element; fixed, so that equal runs give equal pages.
        title: its heading.
        says: how to read it, one or two sentences.
        traces, layout: plotly.js's.
        height_rem: of its element.
    """

    name: str
    title: str
    says: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    height_rem: int = 22


def axis(title: str, **options: Any) -> dict[str, Any]:
    """A quiet axis."""
    return {
        "title": {"text": escape(title), "standoff": 8},
        "gridcolor": "--line",
        "linecolor": "--line",
        "zerolinecolor": "--line",
        "automargin": True,
        "fixedrange": False,
        **options,
    }


def millisecond_axis(title: str, values: Iterable[Milliseconds], **options: Any) -> dict[str, Any]:
    """Logarithmic, over all of these values; ∞ has its own line at the top (`ceiling`)."""
    listed = list(values)
    low, high = _bounds(listed)
    decades = math.log10(high / low)
    steps = _MANY if decades < 1.1 else _SOME if decades < 2.2 else _FEW
    ticks = [round(step * 10.0**power, 6) for power in range(-4, 7) for step in steps]
    ticks = [tick for tick in ticks if low <= tick <= high]
    labels = [f"{tick:g}" for tick in ticks]
    if "inf" in listed:
        top = ceiling(listed)
        # A number right below would be printed over it.
        ticks = [tick for tick in ticks if tick < 0.7 * top]
        labels = [*(f"{tick:g}" for tick in ticks), words.NEVER]
        ticks, high = [*ticks, top], top * 1.12
    return axis(
        title,
        type="log",
        range=[round(math.log10(low), 4), round(math.log10(high), 4)],
        tickvals=ticks,
        ticktext=labels,
        **options,
    )


def ceiling(values: Iterable[Milliseconds]) -> float:
    """Where ∞ is drawn on `millisecond_axis` over the same values."""
    return round(_bounds(values)[1] * 1.25, 4)


def drawn(values: Sequence[Milliseconds], top: float) -> list[float | None]:
    """As numbers that plotly.js can draw: ∞ at the top, a gap where there were too few requests."""
    return [top if value == "inf" else None if value is None else float(value) for value in values]


def line(name: str, x: Sequence[Any], y: Sequence[Any], colour: str, **options: Any) -> dict[str, Any]:
    """A line; `dash`, `width`, `marks` and what else a trace may hold."""
    dash, width = options.pop("dash", "solid"), options.pop("width", 2)
    marks = options.pop("marks", False)
    return {
        "type": "scatter",
        "mode": "lines+markers" if marks else "lines",
        "name": escape(name),
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "dash": dash, "width": width},
        "marker": {"color": colour, "size": 7},
        **options,
    }


def limit(budget_ms: float, y_axis: str = "y", x_axis: str = "x") -> list[dict[str, Any]]:
    """The budget as a dashed line across; nothing where the run has no single one."""
    if not budget_ms:
        return []
    return [
        {
            "type": "line",
            "xref": f"{x_axis} domain",
            "x0": 0,
            "x1": 1,
            "yref": y_axis,
            "y0": budget_ms,
            "y1": budget_ms,
            "line": {"color": "--bad", "dash": "dash", "width": 1.5},
            "label": {
                "text": f"budget {budget_ms:g} ms",
                "textposition": "end",
                "yanchor": "bottom",
                "font": {"color": "--bad", "size": 12},
            },
        }
    ]


def layout(**options: Any) -> dict[str, Any]:
    """Of a whole figure."""
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "--soft"},
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": "--page", "bordercolor": "--line", "font": {"color": "--ink"}},
        "legend": LEGEND,
        **options,
    }


def finite(value: Milliseconds) -> float | None:
    """A number, or None where there is none to draw."""
    return None if value is None or value == "inf" else float(value)


def _bounds(values: Iterable[Milliseconds]) -> tuple[float, float]:
    """A little more room than the finite values need."""
    numbers = [finite(value) for value in values]
    positive = [number for number in numbers if number is not None and number > 0] or [1.0]
    return min(positive) * 0.8, max(positive) * 1.6
