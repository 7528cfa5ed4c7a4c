"""Latency by percentile, and latency and quality over candidate counts. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from loadtest.report import plot, words
from loadtest.report.plot import Figure
from loadtest.result import Milliseconds, Percentiles, Run

_NINES: Final = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)


def spectrum(run: Run) -> list[Figure]:
    """At most one figure: latency over percentile, each tick leaving ten times fewer requests above it."""
    found = run.summary
    points: list[tuple[float, Milliseconds]]
    points = [(share, value) for share, value in found.spectrum if share < 1 and value is not None]
    if not points:
        return []
    budget_ms = run.scenario.slo.budget_ms
    others = {"service": _percentiles(found.service), "server": _percentiles(found.server)}
    values: list[Milliseconds] = [value for _, value in points]
    values += [value for rows in others.values() for _, value in rows] + [budget_ms or None]
    top, right = plot.ceiling(values), max(_nines(share) for share, _ in points)
    traces = [_curve("latency, since intended", points, top, "--accent", width=2.6)]
    names = {"service": "service, since sent", "server": "server, its own clock"}
    styles = {"service": ("--calm", "dash"), "server": ("--faint", "dot")}
    for key, rows in others.items():
        if rows:
            traces.append(_curve(names[key], rows, top, styles[key][0], dash=styles[key][1], marks=True))
    ticks = [share for share in _NINES if _nines(share) <= right + 0.05]
    layout = plot.layout(
        xaxis=plot.axis(
            "percentile",
            range=[-0.03, right * 1.03],
            tickangle=0,
            tickvals=[_nines(share) for share in ticks],
            ticktext=[f"{100 * share:g} %" for share in ticks],
        ),
        yaxis=plot.millisecond_axis("ms", values),
        shapes=plot.limit(budget_ms),
        hovermode="closest",
    )
    says = (
        "Read across at the budget: the curve's percentile there is the share of the admitted requests that "
        "kept it. Each tick to the right leaves ten times fewer requests above."
    )
    return [Figure("figure-percentiles", "Latency by percentile", says, traces, layout, 24)]


def over_candidates(run: Run) -> list[Figure]:
    """At most one figure: none when the run has no deciles."""
    if not run.deciles:
        return []
    # By position, not by label: of two equal ranges plotly.js would draw one.
    spans = [words.span(part.candidates_least, part.candidates_most) for part in run.deciles]
    labels = [span.replace(" to ", "–") for span in spans]
    at = list(range(len(labels)))
    values: list[Milliseconds] = [part.numbers.latency.p99_ms for part in run.deciles]
    medians: list[Milliseconds] = [part.numbers.latency.p50_ms for part in run.deciles]
    budget_ms = run.scenario.slo.budget_ms
    scale = [*values, *medians, budget_ms or None]
    top = plot.ceiling(scale)
    traces = [
        plot.line(
            name, at, plot.drawn(row, top), colour, marks=True,
            text=[words.with_unit(value) for value in row], hovertemplate="%{text}",
        )
        for name, row, colour in (("p99", values, "--accent"), ("p50", medians, "--calm"))
    ]  # fmt: skip
    with_quality = any(part.quality for part in run.deciles)
    layout = plot.layout(
        xaxis=plot.axis(
            "candidates per request, deciles", tickvals=at, ticktext=labels, showgrid=False,
            anchor="y2" if with_quality else "y",
        ),
        yaxis=plot.millisecond_axis("ms", scale, domain=[0.45, 1.0] if with_quality else [0.0, 1.0]),
        shapes=plot.limit(budget_ms),
    )  # fmt: skip
    if with_quality:
        layout["yaxis2"] = plot.axis("nDCG", domain=[0.0, 0.36], nticks=5)
        seen = [part.quality.perceived if part.quality else None for part in run.deciles]
        prior = [part.quality.prior if part.quality else None for part in run.deciles]
        shown = {"yaxis": "y2", "marks": True, "hovertemplate": "%{y:.4f}"}
        traces.append(plot.line("perceived nDCG", at, seen, "--seen", **shown))
        traces.append(plot.line("prior order", at, prior, "--faint", dash="dot", **shown))
    says = "Each point is a tenth of the measured requests, from the fewest candidates to the most."
    return [Figure("figure-candidates", "Over candidate counts", says, traces, layout, 30)]


def _nines(share: float) -> float:
    return 0.0 - math.log10(1 - share)


def _percentiles(found: Percentiles) -> list[tuple[float, Milliseconds]]:
    rows = ((0.5, found.p50_ms), (0.9, found.p90_ms), (0.99, found.p99_ms), (0.999, found.p999_ms))
    return [(share, value) for share, value in rows if value is not None and value != 0]


def _curve(
    name: str, points: Sequence[tuple[float, Milliseconds]], top: float, colour: str, **options: Any
) -> dict[str, Any]:
    return plot.line(
        name,
        [round(_nines(share), 5) for share, _ in points],
        plot.drawn([value for _, value in points], top),
        colour,
        text=[f"{100 * share:.6g} %: {words.with_unit(value)}" for share, value in points],
        hovertemplate="%{text}",
        **options,
    )
