"""The run, second by second: what was offered, what became of it, how long it took, what users saw. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from loadtest.report import plot
from loadtest.report.plot import Figure
from loadtest.result import Milliseconds, Run, Window


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Seconds of one phase that follow one another; `end_s` is exclusive."""

    phase: str
    measured: bool
    start_s: float
    end_s: float


def timeline(run: Run, windows: Sequence[Window]) -> list[Figure]:
    """At most one figure: none when not a second was recorded."""
    if not windows:
        return []
    windows = _filled(windows)
    budget_ms = run.scenario.slo.budget_ms
    seconds = [window.t_s for window in windows]
    latencies: list[Milliseconds] = [
        value for window in windows for value in (window.p50_ms, window.p99_ms, window.max_ms)
    ]
    latencies.append(budget_ms or None)
    with_quality = any(window.perceived_ndcg is not None for window in windows)
    domains = ((0.67, 1.0), (0.27, 0.61), (0.0, 0.2)) if with_quality else ((0.54, 1.0), (0.0, 0.45), (0, 0))
    layout = plot.layout(
        xaxis=plot.axis(
            "seconds since the start",
            anchor="y3" if with_quality else "y2",
            showgrid=False,
            unifiedhovertitle={"text": "second %{x}"},
        ),
        yaxis=plot.axis("requests/s", domain=domains[0], rangemode="tozero"),
        yaxis2=plot.millisecond_axis("latency, ms", latencies, domain=domains[1]),
        shapes=[*_bands(windows), *plot.limit(budget_ms, "y2")],
        annotations=_names(windows),
        hoversubplots="axis",
        legend=plot.LEGEND | {"y": 1.045},
    )
    traces = [*_rates(seconds, windows), *_latencies(seconds, windows, plot.ceiling(latencies))]
    if with_quality:
        layout["yaxis3"] = plot.axis("nDCG", domain=domains[2], nticks=4)
        seen = [window.perceived_ndcg for window in windows]
        traces.append(
            plot.line("perceived nDCG", seconds, seen, "--seen", yaxis="y3", hovertemplate="%{y:.4f}")
        )
    return [
        Figure(
            name="figure-timeline",
            title="Second by second",
            says="Every request stands at the second in which it should have been sent. Shaded seconds were "
            "not measured. ∞: never answered.",
            traces=traces,
            layout=layout,
            height_rem=36 if with_quality else 30,
        )
    ]


def _filled(windows: Sequence[Window]) -> list[Window]:
    """With the seconds in which nothing was due, as between drained phases: a gap, not a bridge."""
    filled: list[Window] = []
    for window in windows:
        while filled and filled[-1].t_s + 1 < window.t_s:
            filled.append(_silent(filled[-1]))
        filled.append(window)
    return filled


def _silent(before: Window) -> Window:
    return Window(
        t_s=before.t_s + 1,
        phase=before.phase,
        measured=before.measured,
        offered=0,
        answered=0,
        in_time=0,
        refused=0,
        errors=0,
        p50_ms=None,
        p99_ms=None,
        max_ms=None,
        perceived_ndcg=None,
    )


def _rates(seconds: list[float], windows: Sequence[Window]) -> list[dict[str, Any]]:
    """Offered, split into its three fates, stacked; a step per second."""
    parts = [
        ("in time", [window.in_time for window in windows], "--seen"),
        ("late or lost", [max(0, w.offered - w.in_time - w.refused) for w in windows], "--late"),
        ("refused", [window.refused for window in windows], "--refused"),
    ]
    stacked = [
        _steps(name, seconds, values, colour, 0.0) | {"stackgroup": "fate", "fillcolor": colour}
        for name, values, colour in parts
    ]
    return [*stacked, _steps("offered", seconds, [window.offered for window in windows], "--ink", 1.2)]


def _steps(name: str, seconds: list[float], values: list[int], colour: str, width: float) -> dict[str, Any]:
    """A level for each second; the last is given its own end, or it would have no length."""
    x, y = [*seconds, seconds[-1] + 1], [*values, values[-1]]
    steps = plot.line(name, x, y, colour, width=width, hovertemplate="%{y}/s")
    steps["line"]["shape"] = "hv"
    return steps


def _latencies(seconds: list[float], windows: Sequence[Window], top: float) -> list[dict[str, Any]]:
    rows: list[tuple[str, list[Milliseconds], str, float]] = [
        ("max", [window.max_ms for window in windows], "--faint", 1),
        ("p99", [window.p99_ms for window in windows], "--accent", 2.2),
        ("p50", [window.p50_ms for window in windows], "--calm", 2),
    ]
    return [
        plot.line(
            name,
            seconds,
            plot.drawn(values, top),
            colour,
            width=width,
            yaxis="y2",
            text=[
                "∞" if value == "inf" else f"{value:.2f} ms" if value is not None else "" for value in values
            ],
            hovertemplate="%{text}",
        )
        for name, values, colour, width in rows
    ]


def _stretches(windows: Sequence[Window]) -> list[_Stretch]:
    found: list[_Stretch] = []
    for window in windows:
        last = found[-1] if found else None
        if last and (last.phase, last.measured) == (window.phase, window.measured):
            found[-1] = _Stretch(last.phase, last.measured, last.start_s, window.t_s + 1)
        else:
            found.append(_Stretch(window.phase, window.measured, window.t_s, window.t_s + 1))
    return found


def _bands(windows: Sequence[Window]) -> list[dict[str, Any]]:
    """A line where a phase begins; shade over what was not measured."""
    shapes: list[dict[str, Any]] = []
    for stretch in _stretches(windows):
        span = {"xref": "x", "yref": "paper", "x0": stretch.start_s, "y0": 0, "y1": 1, "layer": "below"}
        if not stretch.measured:
            fill = {"type": "rect", "x1": stretch.end_s, "fillcolor": "--shade", "line": {"width": 0}}
            shapes.append({**span, **fill})
        if stretch.start_s > windows[0].t_s:
            rule = {"type": "line", "x1": stretch.start_s, "line": {"color": "--rule", "width": 1}}
            shapes.append({**span, **rule})
    return shapes


def _names(windows: Sequence[Window]) -> list[dict[str, Any]]:
    """The phases' names, where there is room for them."""
    stretches = _stretches(windows)
    total_s = stretches[-1].end_s - stretches[0].start_s
    return [
        {
            "xref": "x",
            "yref": "paper",
            "x": stretch.start_s,
            "y": 1,
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "text": escape(stretch.phase),
            "font": {"size": 12, "color": "--soft"},
        }
        for stretch in stretches
        if (stretch.end_s - stretch.start_s) / total_s > 0.0075 * len(stretch.phase)
    ]
