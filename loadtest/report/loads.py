"""Goodput, tail and quality over offered load: what a server does when too much is asked of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from loadtest.report import plot, words
from loadtest.report.plot import Figure
from loadtest.result import Milliseconds, PhaseResult, Quality, Run

LOADS_LEAST: Final = 3
"""Different loads that make a curve."""
_SAYS: Final = (
    "One point per measured phase, joined in the order in which they ran: where the way back lies below the "
    "way up, the server had not recovered. The bars are 95 % intervals."
)


def over_load(run: Run) -> list[Figure]:
    """At most one figure: none when there are too few different loads for a curve."""
    phases = [phase for phase in run.phases if phase.counts and phase.load > 0]
    if len({round(phase.load, 3) for phase in phases}) < LOADS_LEAST:
        return []
    quality = [(phase, phase.quality) for phase in phases if phase.quality is not None]
    rows = [(0.68, 1.0), (0.35, 0.62), (0.0, 0.29)] if quality else [(0.55, 1.0), (0.0, 0.46)]
    name, budget_ms = words.percentile_name(run), run.scenario.slo.budget_ms
    scale = _scale(phases, budget_ms)
    layout = plot.layout(
        xaxis=plot.axis("offered, requests/s", rangemode="tozero", anchor=f"y{len(rows)}"),
        # The line of all that was offered may leave the picture; the goodput must not be squeezed by it.
        yaxis=plot.axis("in time, /s", domain=rows[0], range=[0, 1.25 * max(_in_time(phases)) or 1.0]),
        yaxis2=plot.millisecond_axis(f"{name}, ms", scale, domain=rows[1]),
        shapes=plot.limit(budget_ms, "y2"),
        hovermode="closest",
    )
    if quality:
        layout["yaxis3"] = plot.axis("nDCG", domain=rows[2], nticks=5)
    traces = [*_goodput(phases), _tail(name, phases, plot.ceiling(scale)), *_quality(quality)]
    return [Figure("figure-loads", "Over offered load", _SAYS, traces, layout, 40 if quality else 30)]


def _offered(phases: Sequence[PhaseResult]) -> list[float]:
    return [phase.numbers.offered_per_s for phase in phases]


def _in_time(phases: Sequence[PhaseResult]) -> list[float]:
    return [phase.numbers.goodput_per_s + phase.numbers.degraded_goodput_per_s for phase in phases]


def _scale(phases: Sequence[PhaseResult], budget_ms: float) -> list[Milliseconds]:
    values: list[Milliseconds] = [phase.numbers.tail.value_ms for phase in phases]
    bounds: list[Milliseconds] = [
        bound for phase in phases for bound in (phase.numbers.tail.low_ms, phase.numbers.tail.high_ms)
    ]
    return [*values, *(bound for bound in bounds if bound != "inf"), budget_ms or None]


def _goodput(phases: Sequence[PhaseResult]) -> list[dict[str, Any]]:
    x = _offered(phases)
    names = [escape(phase.name) for phase in phases]
    full = [phase.numbers.goodput_per_s for phase in phases]
    shown = {"text": names, "hovertemplate": "%{text}: %{y:.1f}/s", "marks": True}
    traces = [plot.line("goodput", x, full, "--seen", **shown)]
    if any(phase.numbers.degraded_goodput_per_s for phase in phases):
        traces.append(
            plot.line("with degraded answers", x, _in_time(phases), "--degraded", dash="dash", **shown)
        )
    most = max(x)
    everything = plot.line("offered", [0, most], [0, most], "--faint", dash="dot", width=1, hoverinfo="skip")
    return [*traces, everything]


def _tail(name: str, phases: Sequence[PhaseResult], top: float) -> dict[str, Any]:
    tails = [phase.numbers.tail for phase in phases]
    values = [tail.value_ms for tail in tails]
    spread = [_spread(tail.value_ms, tail.low_ms, tail.high_ms) for tail in tails]
    return plot.line(
        name,
        _offered(phases),
        plot.drawn(values, top),
        "--accent",
        marks=True,
        yaxis="y2",
        showlegend=False,
        error_y=_bars(spread, "--accent"),
        text=[f"{escape(phase.name)}: {words.tail(phase.numbers.tail)}" for phase in phases],
        hovertemplate="%{text}",
    )


def _spread(value: Milliseconds, low: Milliseconds, high: Milliseconds) -> tuple[float, float]:
    """Below and above the point; 0 where the interval is not bounded."""
    at, least, most = plot.finite(value), plot.finite(low), plot.finite(high)
    if at is None:
        return 0.0, 0.0
    return at - least if least is not None else 0.0, most - at if most is not None else 0.0


def _quality(rows: Sequence[tuple[PhaseResult, Quality]]) -> list[dict[str, Any]]:
    """What users saw, between the prior order and the unquantised one."""
    x = _offered([phase for phase, _ in rows])
    # Lines to compare with, not curves: from the least to the greatest load, once.
    level = [x.index(load) for load in sorted(set(x))]
    spread = [
        (found.perceived - found.perceived_low, found.perceived_high - found.perceived) for _, found in rows
    ]
    names = [escape(phase.name) for phase, _ in rows]
    shown: dict[str, Any] = {"yaxis": "y3", "text": names, "hovertemplate": "%{text}: %{y:.4f}"}
    lines: list[dict[str, Any]] = []
    if rows:
        seen, prior = [found.perceived for _, found in rows], [found.prior for _, found in rows]
        bars = _bars(spread, "--seen")
        lines.append(
            plot.line(
                "perceived nDCG", x, seen, "--seen", marks=True, showlegend=False, error_y=bars, **shown
            )
        )
        lines.append(_level("prior order", x, prior, level, "--faint", "dashdot"))
    references = [found.losses.reference for _, found in rows if found.losses is not None]
    if references and len(references) == len(rows):
        name = "unquantised, idle server"
        lines.append(_level(name, x, references, level, "--calm", "dash"))
    return lines


def _level(
    name: str, x: Sequence[float], y: Sequence[float], at: Sequence[int], colour: str, dash: str
) -> dict[str, Any]:
    chosen = [x[entry] for entry in at], [y[entry] for entry in at]
    return plot.line(name, *chosen, colour, dash=dash, width=1.2, yaxis="y3", hovertemplate="%{y:.4f}")


def _bars(spread: Sequence[tuple[float, float]], colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "arrayminus": [below for below, _ in spread],
        "array": [above for _, above in spread],
        "color": colour,
    }
