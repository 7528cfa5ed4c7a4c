"""Goodput and p99 over load: Podium, the baseline, and what refusals leave; plain SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from benchmarks.overload.law import goodput_share
from benchmarks.overload.point import Point

WIDTH, HEIGHT = 760, 340
LEFT, GAP, RIGHT, TOP, FOOT = 52, 62, 14, 68, 44
"""Pixels: before the first panel, between the two, after; title and legend; axis."""
LOAD_MAX: Final = 5.2
GOODPUT_MAX: Final = 1.1
"""At least; the panel grows with what was measured."""
P99_BUDGETS: Final = 3.0
"""What lies higher ends at the panel's top."""
PODIUM, STREAM, FIFO, BOUND, BUDGET = "#1d4f91", "#4a86d0", "#9a6a1f", "#8b8f96", "#b3261e"
INK, GRID = "#222222", "#d9d9d9"

Place = Callable[[float, float], tuple[float, float]]


def svg(plan: Sequence[Point], fifo: Sequence[Point], refusal_ratio: float) -> str:
    """Two panels of the same loads.

    Args:
        plan, fifo: points of one workload and budget.
        refusal_ratio: r / s.
    """
    title = "One core, 25 ms budget: goodput and p99 from half of capacity to five times of it"
    panel = (WIDTH - LEFT - GAP - RIGHT) / 2
    budget_ms = plan[0].budget_ms
    top = max([GOODPUT_MAX, *(1.05 * _goodput(one) for one in [*plan, *fifo])])
    left = _panel(LEFT, panel, top)
    right = _panel(LEFT + panel + GAP, panel, P99_BUDGETS * budget_ms)
    parts = [_text(12, 20, title, weight=600)]
    parts += _axes(left, "goodput / capacity", [at / 4 for at in range(int(4 * top) + 1)], "{:g}")
    step = 25.0 if budget_ms == 25.0 else budget_ms
    ticks = [at * step for at in range(int(P99_BUDGETS * budget_ms / step) + 1)]
    parts += _axes(right, "p99 of the admitted, ms", ticks, "{:g}")
    bound = [(at / 20, goodput_share(at / 20, refusal_ratio)) for at in range(101)]
    parts.append(_line([left(*one) for one in bound], BOUND, dashed=True))
    parts.append(_line([right(0, budget_ms), right(LOAD_MAX, budget_ms)], BUDGET, dashed=True))
    series = _series(plan, fifo)
    for _, colour, found in series:
        goodput = [left(one.load, _goodput(one)) for one in found]
        p99 = [right(one.load, _p99(one, budget_ms)) for one in found if one.p99_ms is not None]
        for places in (goodput, p99):
            parts += [_line(places, colour), *(_dot(x, y, colour) for x, y in places)]
        parts += [_whisker(one, right, colour, budget_ms) for one in found if one.p99_ms is not None]
    keys = [(name, colour) for name, colour, _ in series]
    keys += [("y(L): what refusals leave", BOUND), ("budget", BUDGET)]
    parts += _legend(keys)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="system-ui, sans-serif" font-size="12">'
    )
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    return "\n".join([opening, f"<title>{escape(title)}</title>", ground, *parts, "</svg>"]) + "\n"


def _series(plan: Sequence[Point], fifo: Sequence[Point]) -> list[tuple[str, str, list[Point]]]:
    named = [
        ("Podium, unary", PODIUM, [one for one in plan if one.door == "unary"]),
        ("Podium, stream", STREAM, [one for one in plan if one.door == "stream"]),
        ("FIFO at its best", FIFO, [one for one in fifo if one.door == "unary"]),
    ]
    return [(name, colour, sorted(found, key=lambda one: one.load)) for name, colour, found in named if found]


def _panel(x: float, width: float, most: float) -> Place:
    def place(load: float, value: float) -> tuple[float, float]:
        height = HEIGHT - TOP - FOOT
        return x + load / LOAD_MAX * width, TOP + height * (1 - min(value, most) / most)

    return place


def _goodput(one: Point) -> float:
    return one.goodput_per_s / one.capacity_per_s


def _p99(one: Point, budget_ms: float) -> float:
    """For drawing: what never came lies at the top."""
    return one.p99_ms if isinstance(one.p99_ms, float) else P99_BUDGETS * budget_ms


def _axes(place: Place, label: str, ticks: Sequence[float], form: str) -> list[str]:
    x0, y0 = place(0, 0)
    x1, _ = place(LOAD_MAX, 0)
    parts = [_text(x0, TOP - 8, label, weight=600)]
    for tick in ticks:
        y = place(0, tick)[1]
        parts.append(f'<line x1="{x0:.1f}" x2="{x1:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
        parts.append(_text(x0 - 6, y + 4, form.format(tick), anchor="end"))
    loads = (0.5, 1, 2, 3, 4, 5)
    parts += [_text(place(load, 0)[0], y0 + 16, f"{load:g}", anchor="middle") for load in loads]
    parts.append(_text((x0 + x1) / 2, y0 + 33, "offered load, x capacity", anchor="middle"))
    return parts


def _legend(keys: Sequence[tuple[str, str]]) -> list[str]:
    parts, x = [], 12.0
    for name, colour in keys:
        parts.append(
            f'<line x1="{x:.0f}" x2="{x + 16:.0f}" y1="33" y2="33" stroke="{colour}" stroke-width="3"/>'
        )
        parts.append(_text(x + 21, 37, name))
        x += 40 + 6.4 * len(name)
    return parts


def _line(places: Sequence[tuple[float, float]], colour: str, *, dashed: bool = False) -> str:
    if not places:
        return ""
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>'


def _whisker(one: Point, place: Place, colour: str, budget_ms: float) -> str:
    """p99's interval; an open end reaches the top."""
    low = one.p99_low_ms if isinstance(one.p99_low_ms, float) else _p99(one, budget_ms)
    high = one.p99_high_ms if isinstance(one.p99_high_ms, float) else P99_BUDGETS * budget_ms
    (x, y_low), (_, y_high) = place(one.load, low), place(one.load, high)
    return f'<path d="M{x:.1f} {y_low:.1f}V{y_high:.1f}" stroke="{colour}" fill="none"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: int = 400) -> str:
    attributes = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{INK}"'
    return f"<text {attributes}>{escape(text)}</text>"
