"""A comparison of two servers in words."""

from __future__ import annotations

from loadtest.ab import Duel
from loadtest.stats.paired import Comparison


def lines(found: Duel) -> list[str]:
    """For the terminal: what is shown, then the blocks."""
    said = [f"a = {found.a}, b = {found.b}; ratios are b / a over {len(found.blocks) // 2} interleaved pairs"]
    said += [
        _line(name, comparison)
        for name, comparison in (("p99", found.p99), ("goodput", found.goodput), ("nDCG", found.ndcg))
    ]
    if found.invalid:
        said.append(f"{found.invalid} pairs do not count: the client was the limit")
    return said


def _line(name: str, comparison: Comparison | None) -> str:
    if comparison is None:
        return f"{name:<8} not to be compared: a block gave no number, or an infinite one; look at the blocks"
    ratio = comparison.ratio
    return (
        f"{name:<8} {comparison.verdict}: {ratio.mean:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] (95 %, "
        f"{comparison.pairs} pairs, equal within {comparison.margin:.0%})"
    )
