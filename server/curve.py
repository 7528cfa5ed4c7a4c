"""A cost model's curve as inline SVG: candidates across, predicted milliseconds up, the budget as a line."""

from __future__ import annotations

import math
from collections.abc import Mapping

WIDTH, HEIGHT = 460, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 14, 40


def curve(predicted_ms: Mapping[str, float], budget_ms: float) -> str:
    """The figure.

    Args:
        predicted_ms: candidates -> milliseconds, ascending.
        budget_ms: the smallest of the model's; drawn where it fits the scale.
    """
    points = [(int(rows), ms) for rows, ms in predicted_ms.items()]
    rows_max = max(rows for rows, _ in points)
    top_ms = _nice(max(ms for _, ms in points))
    across = (WIDTH - LEFT - RIGHT) / rows_max
    up = (HEIGHT - TOP - BOTTOM) / top_ms
    ground = HEIGHT - BOTTOM

    def place(rows: float, ms: float) -> tuple[str, str]:
        return f"{LEFT + rows * across:.1f}", f"{ground - ms * up:.1f}"

    said = "; ".join(f"{rows} candidates {ms:.2f} ms" for rows, ms in points)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role=img aria-label="Predicted time of a run: {said}">']
    for step in range(5):
        ms = top_ms * step / 4
        _, y = place(0, ms)
        kind = "grid" if step else "axis"
        parts.append(f'<line class={kind} x1={LEFT} x2={WIDTH - RIGHT} y1="{y}" y2="{y}"/>')
        parts.append(f'<text x={LEFT - 8} y="{y}" dy=4 text-anchor=end>{ms:g}</text>')
    for rows in sorted({0, rows_max // 2, rows_max}):
        x, _ = place(rows, 0)
        anchor = "end" if rows == rows_max else "middle"
        parts.append(f'<text x="{x}" y={ground + 17} text-anchor={anchor}>{rows:,}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y={HEIGHT - 6} text-anchor=end>candidates</text>')
    parts.append(f"<text x={LEFT - 8} y={HEIGHT - 6} text-anchor=end>ms</text>")
    if budget_ms <= top_ms:
        _, y = place(0, budget_ms)
        parts.append(f'<line class=budget x1={LEFT} x2={WIDTH - RIGHT} y1="{y}" y2="{y}"/>')
        parts.append(f'<text class=budgeted x={LEFT + 6} y="{y}" dy=-4>budget {budget_ms:g} ms</text>')
    line = " ".join(",".join(place(rows, ms)) for rows, ms in points)
    parts.append(f'<polyline class=curve points="{line}"/>')
    for rows, ms in points:
        x, y = place(rows, ms)
        parts.append(
            f'<circle cx="{x}" cy="{y}" r=3.5><title>{rows} candidates: {ms:.2f} ms</title></circle>'
        )
    parts.append("</svg>")
    return "".join(parts)


def _nice(value: float) -> float:
    """The least of 1, 2, 4, 8 times a power of ten that is not below a value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value * (1 - 1e-9))
