"""The pictures of `report.html`: latency, slices, scores, reliability, operators."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from export.gates.slices import SliceReport
from export.report import Report, VariantReport
from export.report_plot import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Axis, band, figure, frame, legend, line

STYLES = {"fp32": "a", "int8": "b"}
_OPERATORS = 8


def pictures(report: Report) -> Iterator[str]:
    """HTML figures, of what was measured."""
    judged = next((v for v in report.variants if v.variant == "int8"), report.variants[-1])
    if any(variant.latency for variant in report.variants):
        yield _latency(report)
    if judged.slices:
        yield _forest(judged)
    if judged.scores is not None:
        yield _scatter(judged)
        yield _histogram(judged)
    if report.reliability:
        yield _reliability(report)
    if any(variant.operators for variant in report.variants):
        yield _operators(report)


def style_of(variant: str) -> str:
    """Its colour's class."""
    return STYLES.get(variant, "c")


def _latency(report: Report) -> str:
    height = 290
    every = [point for variant in report.variants for point in variant.latency]
    rows = [point.requests * point.candidates for point in every]
    x = Axis(min(rows), max(rows), LEFT, WIDTH - RIGHT, log=True)
    low, high = min(point.p10_ms for point in every), max(point.p90_ms for point in every)
    y = Axis(max(low, 1e-4) * 0.9, high * 1.15, height - BOTTOM, TOP + 14, log=True)
    parts = [frame(x, y, ("candidates in the run", "ms"))]
    for variant in report.variants:
        style = style_of(variant.variant)
        one = [point for point in variant.latency if point.requests == 1]
        at = [x.at(point.candidates) for point in one]
        edges = [
            [(u, y.at(getattr(point, name))) for u, point in zip(at, one, strict=True)]
            for name in ("p10_ms", "p90_ms", "p50_ms")
        ]
        parts += [band(edges[0], edges[1], style), line(edges[2], style)]
        for point in variant.latency:
            if point.requests > 1:
                u, v = x.at(point.requests * point.candidates), y.at(point.p50_ms)
                parts.append(f'<rect class="{style} box" x="{u - 4}" y="{v - 4}" width="8" height="8"/>')
    names = [(style_of(variant.variant), variant.variant) for variant in report.variants]
    said = "; ".join(
        f"{variant.variant}: {point.requests} requests of {point.candidates} candidates {point.p50_ms} ms"
        for variant in report.variants
        for point in variant.latency
    )
    note = (
        f"{legend(names)}. Dots: one request; squares: 2 to 16 requests of 100 candidates. Median and "
        "10 % to 90 % of the runs; one thread of this machine, processor time."
    )
    return figure("What a run costs", said, height, "".join(parts), note)


def _forest(judged: VariantReport) -> str:
    some = [one for one in judged.slices if one.quality is not None]
    measured = [found for one in some if (found := one.quality) is not None]
    if not measured:
        some, measured = judged.slices, [m for one in judged.slices if (m := one.agreement) is not None]
    quality = bool(some and some[0].quality is not None)
    least = measured[0].least if measured else 0.0
    reach = max(4 * abs(least), *(min(abs(e), 12 * abs(least)) for m in measured for e in m.interval))
    row, top = 36, 22
    height = top + row * len(some) + 24
    x = Axis(-reach, reach if quality else reach * 0.1, 8, WIDTH - 8)
    bottom = top + row * len(some)
    parts = [
        f'<path class="zero" d="M{x.at(0)} {top - 4}V{bottom}"/>',
        f'<path class="limit" d="M{x.at(least)} {top - 4}V{bottom}"/>',
        f'<text class="tick end" x="{x.at(least) - 5}" y="{top - 9}">allowed {least:.1%}</text>',
        f'<text class="tick" x="{x.at(0) + 5}" y="{top - 9}">as PyTorch</text>',
    ]
    parts += [_forest_row(one, x, top + row * at, quality) for at, one in enumerate(some)]
    for value, anchor in ((x.low, ""), (x.high, " end")):
        parts.append(f'<text class="tick{anchor}" x="{x.at(value)}" y="{bottom + 16}">{value:+.1%}</text>')
    measure = "nDCG@10 against PyTorch" if quality else "Kendall tau - 1"
    said = f"{judged.variant}, {measure} per slice: " + "; ".join(
        f"{one.dimension} {one.name} {one.verdict}" for one in some
    )
    note = (
        f"{escape(judged.variant)}: {measure}, with intervals that hold for all slices together (95 %). "
        'Colour: <span class="pass">pass</span>, <span class="warning">inconclusive or warning</span>; '
        "an arrow: beyond the picture."
    )
    return figure("Every slice", said, height, "".join(parts), note)


def _forest_row(one: SliceReport, x: Axis, top: float, quality: bool) -> str:
    found = one.quality if quality else one.agreement
    label = escape(f"{one.dimension}: {one.name}")
    if found is None:
        return f'<text class="slice" x="8" y="{top + 12}">{label}</text>'
    low, high = found.interval
    y = top + 23
    many = f"{found.requests:,}"
    if found.requests_needed is not None:
        many += f" of {found.requests_needed:,} needed"
    ends = "".join(
        f'<path class="{found.verdict} span" d="M{x.at(end) - sign * 6} {y - 4}l{sign * 6} 4l{-sign * 6} 4"/>'
        for end, sign, beyond in ((low, -1, low < x.low), (high, 1, high > x.high))
        if beyond
    )
    return (
        f'<text class="slice" x="8" y="{top + 12}">{label}</text>'
        f'<text class="tick end" x="{WIDTH - 8}" y="{top + 12}">{many}</text>'
        f'<path class="{found.verdict} span" d="M{x.at(low)} {y}H{x.at(high)}"/>{ends}'
        f'<circle class="{found.verdict} mark" cx="{x.at(found.value)}" cy="{y}" r="4.5"/>'
    )


def _scatter(judged: VariantReport) -> str:
    found, height = judged.scores, 320
    if found is None:
        return ""
    low, high = min(*found.exact, *found.got), max(*found.exact, *found.got)
    x, y = Axis(low, high, LEFT, WIDTH - RIGHT), Axis(low, high, height - BOTTOM, TOP + 14)
    style = style_of(judged.variant)
    dots = "".join(
        f'<circle class="{style} point" cx="{x.at(u)}" cy="{y.at(v)}" r="2.2"/>'
        for u, v in zip(found.exact, found.got, strict=True)
    )
    same = f'<path class="zero" d="M{x.at(low)} {y.at(low)}L{x.at(high)} {y.at(high)}"/>'
    body = frame(x, y, ("PyTorch's score", f"{judged.variant}'s score")) + same + dots
    said = f"{len(found.exact)} scores of {judged.variant} beside PyTorch's, from {low:.3g} to {high:.3g}"
    return figure("Scores side by side", said, height, body, f"{len(found.exact)} candidates, drawn evenly.")


def _histogram(judged: VariantReport) -> str:
    found, height = judged.scores, 240
    if found is None:
        return ""
    x = Axis(found.edges[0], found.edges[-1], LEFT, WIDTH - RIGHT)
    total = sum(found.counts)
    y = Axis(0.0, max(found.counts) / total * 1.05, height - BOTTOM, TOP + 14)
    style = style_of(judged.variant)
    bars = "".join(
        f'<rect class="{style} bar" x="{x.at(a)}" y="{y.at(n / total)}" '
        f'width="{max(0.5, x.at(b) - x.at(a) - 1):.1f}" height="{y.start - y.at(n / total):.1f}"/>'
        for a, b, n in zip(found.edges, found.edges[1:], found.counts, strict=False)
    )
    said = f"histogram of {judged.variant}'s score errors, within {found.edges[-1]:.2g} of the spread"
    labels = ("error, in units of the scores' spread within a request", "share of scores")
    note = f"{total:,} scores; the outermost bars hold all beyond."
    return figure("How far scores are off", said, height, frame(x, y, labels, (False, True)) + bars, note)


def _reliability(report: Report) -> str:
    height = 320
    high = max(*(max(*one.said, *one.happened) for one in report.reliability), 1e-6) * 1.05
    x, y = Axis(0.0, high, LEFT, WIDTH - RIGHT), Axis(0.0, high, height - BOTTOM, TOP + 14)
    parts = [
        frame(x, y, ("probability said", "share that happened"), (True, True)),
        f'<path class="zero" d="M{x.at(0)} {y.at(0)}L{x.at(high)} {y.at(high)}"/>',
    ]
    names = []
    for at, one in enumerate(report.reliability):
        style = "abc"[at % 3]
        names.append((style, one.head))
        parts.append(line([(x.at(u), y.at(v)) for u, v in zip(one.said, one.happened, strict=True)], style))
    said = "reliability of " + ", ".join(one.head for one in report.reliability)
    note = f"{legend(names)}. Tenths of the labels, {escape(report.default_variant)}; the line is perfect."
    return figure("Can the probabilities be believed?", said, height, "".join(parts), note)


def _operators(report: Report) -> str:
    total: dict[str, int] = {}
    for variant in report.variants:
        for name, count in variant.operators.items():
            total[name] = max(total.get(name, 0), count)
    shown = sorted(total, key=lambda name: (-total[name], name))[:_OPERATORS]
    row = 12 + 13 * len(report.variants)
    height = 10 + row * len(shown)
    x = Axis(0.0, max(total.values()) * 1.12, 176, WIDTH - RIGHT)
    parts = []
    for at, name in enumerate(shown):
        top = 6 + row * at
        short = name if len(name) <= 24 else name[:23] + "…"
        parts.append(f'<text class="slice" x="0" y="{top + 12}">{escape(short)}</text>')
        for place, variant in enumerate(report.variants):
            count, v = variant.operators.get(name, 0), top + 2 + 13 * place
            style = style_of(variant.variant)
            wide = max(0.5, x.at(count) - x.start)
            parts.append(f'<rect class="{style} bar" x="{x.start}" y="{v}" width="{wide}" height="11"/>')
            parts.append(f'<text class="tick" x="{x.start + wide + 5}" y="{v + 10}">{count}</text>')
    names = [(style_of(variant.variant), variant.variant) for variant in report.variants]
    counts = "; ".join(
        f"{variant.variant}: {sum(variant.operators.values())} operators" for variant in report.variants
    )
    note = f"{legend(names)}. {escape(counts)}; the most frequent, after ONNX Runtime's own optimisations."
    return figure("What really runs", counts, height, "".join(parts), note)
