"""The rows as a figure: each server's requests/s as a share of raw ONNX Runtime's, by size; plain SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.peers.result import Estimate, Row

WIDTH, LEFT, RIGHT = 760, 190, 90
BAR, GAP, HEAD, TOP, FOOT = 20, 6, 26, 34, 34
"""Pixels: a bar, the space after it, a group's title, the figure's title, the axis."""
SHARE_MAX = 1.03
COLOURS = ("#1d4f91", "#4a86d0", "#9a6a1f", "#8b8f96")
INK = "#222222"
GRID = "#d9d9d9"


def svg(rows: Sequence[Row], sizes: Sequence[int]) -> str:
    """One group of bars per size; a row without figures, and the reference itself, have none."""
    title = "Requests/s of one ranker on one core, as a share of raw ONNX Runtime"
    shown = [row for row in rows if row.shares and row.busy is not None]
    group = HEAD + len(shown) * (BAR + GAP)
    bottom = TOP + group * len(sizes)
    parts = [_text(12, 22, title, weight=600)]
    parts += [_tick(percent, bottom) for percent in range(0, 101, 20)]
    for number, size in enumerate(sizes):
        top = TOP + number * group
        parts.append(_text(12, top + HEAD - 9, f"{size} candidates", weight=600))
        for place, row in enumerate(shown):
            y = top + HEAD + place * (BAR + GAP)
            parts += _bar(row, size, y, COLOURS[place % len(COLOURS)])
    height = bottom + FOOT
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" font-family="system-ui, sans-serif" font-size="13">'
    )
    ground = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    return "\n".join([opening, f"<title>{escape(title)}</title>", ground, *parts, "</svg>"]) + "\n"


def _x(share: float) -> float:
    """A neighbour's burst can make a share of more than all: it ends a little beyond the scale."""
    return LEFT + min(share, SHARE_MAX) * (WIDTH - LEFT - RIGHT)


def _bar(row: Row, size: int, y: float, colour: str) -> list[str]:
    share, rate = row.shares[size], row.rates[size]
    label = f"{rate.median:,.0f}/s"
    return [
        _text(LEFT - 8, y + BAR - 5, row.name, anchor="end"),
        f'<rect x="{LEFT}" y="{y}" width="{_x(share.median) - LEFT:.1f}" height="{BAR}" fill="{colour}"/>',
        _whisker(share, y + BAR / 2),
        _text(_x(share.high) + 6, y + BAR - 5, label),
    ]


def _whisker(share: Estimate, y: float) -> str:
    low, high = _x(share.low), _x(share.high)
    ends = f"M{low:.1f} {y - 4}V{y + 4}M{high:.1f} {y - 4}V{y + 4}"
    return f'<path d="M{low:.1f} {y}H{high:.1f}{ends}" stroke="{INK}" fill="none"/>'


def _tick(percent: int, bottom: float) -> str:
    x = _x(percent / 100)
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" stroke="{GRID}"/>'
    return line + _text(x, bottom + 18, f"{percent} %", anchor="middle")


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: int = 400) -> str:
    attributes = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{INK}"'
    return f"<text {attributes}>{escape(text)}</text>"
