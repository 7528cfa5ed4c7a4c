"""A run as a fragment of HTML: self-contained, no script, ready to be put into a larger page. Pure."""

from __future__ import annotations

import math
from html import escape
from typing import Final

from loadtest.run import Run
from loadtest.summary import Milliseconds
from loadtest.verdict import Verdict
from loadtest.wording import COLUMNS, facts, percentile_rows, promise, provenance

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 560, 220, 52, 28
_COLOUR: Final = {
    Verdict.PASS: "#1a7f37",
    Verdict.FAIL: "#cf222e",
    Verdict.INCONCLUSIVE: "#9a6700",
    Verdict.INVALID: "#8250df",
}


def render(run: Run) -> str:
    """Return a `<section>` with verdict, percentiles, latency curve and refusals."""
    given = run.judgement
    verdict = f'<span style="color:{_COLOUR[given.verdict]}">{given.verdict.name}</span>'
    parts = [
        '<section class="loadtest" style="font:14px/1.5 system-ui,sans-serif;max-width:46em">',
        f"<h3>{verdict}: {escape(promise(run))}</h3>",
        f"<p>{escape(given.sentence)}.</p>",
        _percentile_table(run),
        _curve(run.summary.spectrum, run.plan.budget_ms),
        "<ul>",
        *(f"<li>{escape(fact)}</li>" for fact in [*facts(run), *provenance(run)]),
        "</ul></section>\n",
    ]
    return "\n".join(parts)


def _percentile_table(run: Run) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("milliseconds", *COLUMNS))
    rows = [
        f"<tr><td>{escape(name)}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        for name, cells in percentile_rows(run)
    ]
    style = "border-spacing:12px 2px;text-align:right"
    return f'<table style="{style}"><tr>{head}</tr>{"".join(rows)}</table>'


def _curve(spectrum: list[tuple[float, Milliseconds]], budget_ms: float) -> str:
    """Latency over percentile; each step to the right leaves ten times fewer requests above.

    Where the answer never came the curve leaves at the top.
    """
    finite = [value for _, value in spectrum if value is not None]
    top_ms = 1.15 * max([budget_ms, *finite])
    right = max((_nines(share) for share, _ in spectrum if share < 1), default=1.0)

    def x(share: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 10) * min(_nines(share) / right, 1.0)

    def y(value: Milliseconds) -> float:
        return (_HEIGHT - _BOTTOM) * (1 - (top_ms if value is None else value) / top_ms)

    points = " ".join(f"{x(share):.1f},{y(value):.1f}" for share, value in spectrum if share < 1)
    labels = "".join(
        f'<text x="{x(share):.0f}" y="{_HEIGHT - 8}" text-anchor="middle">{share * 100:g}%</text>'
        for share in (0.5, 0.9, 0.99, 0.999)
    )
    line = y(budget_ms)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" '
        'aria-label="latency by percentile" font-size="11">'
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{line:.1f}" y2="{line:.1f}" stroke="#cf222e" '
        'stroke-dasharray="4 3"/>'
        f'<text x="{_LEFT - 4}" y="{line + 4:.0f}" text-anchor="end">{budget_ms:g} ms</text>'
        f'<text x="{_LEFT - 4}" y="{_HEIGHT - _BOTTOM}" text-anchor="end">0</text>'
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{_HEIGHT - _BOTTOM}" y2="{_HEIGHT - _BOTTOM}" stroke="#888"/>'
        f'<polyline points="{points}" fill="none" stroke="#0969da" stroke-width="2"/>{labels}</svg>'
    )


def _nines(share: float) -> float:
    return -math.log10(1 - share) if share < 1 else math.inf
