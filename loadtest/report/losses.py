"""Where nDCG went, as a bar whose whole length is what an idle, unquantised server gives. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from loadtest.report import words
from loadtest.report.markup import Part, bar, paragraph, stack
from loadtest.result import Quality

_COLOURS: Final = {
    "quantisation": "--quantised",
    "degradation": "--degraded",
    "lateness": "--late",
    "refusal": "--refused",
}


def loss_bar(quality: Quality) -> str:
    """The bar with its key."""
    parts = _parts(quality)
    if not parts:
        return paragraph("No order of these requests is better than another.")
    return stack(_spoken(parts), parts)


def loss_rows(rows: Sequence[tuple[str, Quality]]) -> str:
    """One bar per name, with what users saw; nothing for less than two."""
    drawn = [
        f"<span>{escape(name)}</span>{bar(_spoken(parts), parts)}<b>{words.ndcg(quality.perceived)}</b>"
        for name, quality in rows
        if (parts := _parts(quality))
    ]
    return f'<div class="bars">{"".join(drawn)}</div>' if len(drawn) > 1 else ""


def _parts(quality: Quality) -> list[Part]:
    """What the prior order gives anyway, what was gained, what was lost; empty without anything to divide."""
    whole = quality.losses.reference if quality.losses else max(quality.perceived, quality.prior)
    if whole <= 0:
        return []
    prior, gained = min(quality.prior, quality.perceived), quality.perceived - quality.prior
    lost = [
        Part(name, value / whole, words.signed(-value), _COLOURS[name])
        for name, value in words.losses(quality)
    ]
    return [
        Part("prior order", prior / whole, words.ndcg(quality.prior), "--prior"),
        Part("gained" if gained >= 0 else "worse than it", gained / whole, words.signed(gained), "--seen"),
        *lost,
    ]


def _spoken(parts: Sequence[Part]) -> str:
    return ", ".join(f"{part.name} {part.shown}" for part in parts)
