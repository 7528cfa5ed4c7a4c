"""Drawing for `report.html`: inline SVG that scales with its column, coloured by the page's theme.

A figure is WIDTH units wide and is shown between 340 and 480 CSS pixels wide, so that its text stays readable
on a phone; nothing is scripted, nothing is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 440
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 40


@dataclass(frozen=True, slots=True)
class Axis:
    """Values to units.

    Attributes:
        low, high: of the values; both > 0 on a logarithmic axis.
        start, end: units that they become.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Units, rounded; outside values stay at the edge."""
        low, high, x = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, x = math.log(low), math.log(high), math.log(x)
        share = (x - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values inside, ascending."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1, 2, 5), (1, 3), (1,)):
                found = [s * 10.0**d for d in decades for s in steps]
                found = [v for v in found if self.low * 0.999 <= v <= self.high * 1.001]
                if len(found) <= most + 2:
                    break
            return found
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = span / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Short, for a tick."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def frame(x: Axis, y: Axis, labels: tuple[str, str], percent: tuple[bool, bool] = (False, False)) -> str:
    """Grid, ticks and the names of both axes."""
    parts = []
    for value in x.ticks():
        at = x.at(value)
        text = number(value) if not percent[0] else f"{100 * value:.3g} %"
        parts.append(f'<path class="grid" d="M{at} {y.end}V{y.start}"/>')
        parts.append(f'<text class="tick mid" x="{at}" y="{y.start + 16}">{text}</text>')
    for value in y.ticks():
        at = y.at(value)
        text = number(value) if not percent[1] else f"{100 * value:.3g} %"
        parts.append(f'<path class="grid" d="M{x.start} {at}H{x.end}"/>')
        parts.append(f'<text class="tick end" x="{x.start - 6}" y="{at + 4}">{text}</text>')
    parts.append(f'<text class="name end" x="{x.end}" y="{y.start + 34}">{escape(labels[0])}</text>')
    parts.append(f'<text class="name" x="0" y="{y.end - 12}">{escape(labels[1])}</text>')
    return "".join(parts)


def line(points: Sequence[tuple[float, float]], style: str) -> str:
    """A polyline through units, with a dot at each point."""
    path = "M" + "L".join(f"{x} {y}" for x, y in points)
    dots = "".join(f'<circle class="{style} dot" cx="{x}" cy="{y}" r="3"/>' for x, y in points)
    return f'<path class="{style} trace" d="{path}"/>{dots}'


def band(low: Sequence[tuple[float, float]], high: Sequence[tuple[float, float]], style: str) -> str:
    """The area between two polylines."""
    edge = [*low, *reversed(high)]
    return f'<path class="{style} band" d="M{"L".join(f"{x} {y}" for x, y in edge)}Z"/>'


def figure(title: str, said: str, height: float, body: str, note: str = "") -> str:
    """A picture with its title.

    Args:
        said: what a reader who cannot see it should hear.
        note: HTML below it.
    """
    below = f"<p class=soft>{note}</p>" if note else ""
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg role="img" aria-label="{escape(said)}" viewBox="0 0 {WIDTH} {height:.0f}">{body}</svg>{below}'
        "</figure>"
    )


def legend(names: Sequence[tuple[str, str]]) -> str:
    """HTML: colour and name of each line; `names` are (style, text)."""
    return " ".join(f'<span class="key {style}"></span>{escape(text)}' for style, text in names)
