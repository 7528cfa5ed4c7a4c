"""Candidates of one run into groups of like length, so that little of what is computed is padding.

Sorted by length, every best grouping is a cutting into stretches. With the distinct lengths l_1 < .. < l_D
and c_j candidates of at most l_j, the cheapest way to run the first j is

    f(j) = min over i < j of f(i) + (c_j - c_i) · l_j + call

in tokens, where `call` is what one more engine call costs. For a given j that is the lowest at l_j of the
lines f(i) - c_i · l, whose slopes fall with i while l_j rises: the lower envelope of lines, O(D) in all and
exact (the convex-hull form of the dynamic programme; Galil and Park, "Dynamic programming with convexity,
concavity and sparsity", 1992, section 2).

Near the optimum padding trades against calls at next to no cost. Where the cheapest grouping pads more than
WASTE_MAX, one that pads less is taken if it costs hardly more: of few short candidates none may.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WASTE_MAX = 0.10
"""Share of padding in what is computed, beyond which a grouping is second best."""
DEARER_MAX = 1.05
"""A less padded grouping may cost so many times the cheapest."""
_CHEAPER_CALLS = (2, 4)


def buckets(lengths: NDArray[np.int64], call_tokens: float) -> list[NDArray[np.int64]]:
    """Group rows so that padded tokens and calls together cost least, or hardly more.

    Args:
        lengths: tokens of each row, int64 [N], from 1.
        call_tokens: what an engine call costs beside its tokens, in tokens.

    Returns:
        row numbers of each group, int64, the longest last; every row is in one. A group is to be padded to
        its own longest.
    """
    if len(lengths) == 0:
        return []
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)) + 1, len(ordered))
    sizes, counts = ordered[ends - 1].tolist(), ends.tolist()
    cuts = cut(sizes, counts, call_tokens)
    computed_max = int(lengths.sum()) / (1 - WASTE_MAX)
    computed = _computed(cuts, ordered)
    if computed > computed_max:
        cost_max = DEARER_MAX * (computed + call_tokens * len(cuts))
        for factor in _CHEAPER_CALLS:
            finer = cut(sizes, counts, call_tokens / factor)
            computed = _computed(finer, ordered)
            if computed + call_tokens * len(finer) > cost_max:
                break
            cuts = finer
            if computed <= computed_max:
                break
    return np.split(order, cuts[:-1])


def _computed(cuts: Sequence[int], ordered: NDArray[np.int64]) -> int:
    """Tokens with padding."""
    return sum((end - begin) * int(ordered[end - 1]) for begin, end in zip([0, *cuts], cuts, strict=False))


def cut(sizes: Sequence[int], counts: Sequence[int], call_tokens: float) -> list[int]:
    """The counts at which the cheapest groups end; the last is that of all rows.

    Args:
        sizes: distinct lengths, ascending.
        counts: rows of at most that length.
    """
    costs, ahead = [0.0], [0]  # f(i), c_i
    best: list[int] = [0]  # where the last group of the first j begins
    lines: deque[int] = deque([0])
    for size, count in zip(sizes, counts, strict=True):
        while len(lines) > 1 and _at(size, lines[1], costs, ahead) <= _at(size, lines[0], costs, ahead):
            lines.popleft()
        before = lines[0]
        best.append(before)
        costs.append(_at(size, before, costs, ahead) + count * size + call_tokens)
        ahead.append(count)
        new = len(costs) - 1
        while len(lines) > 1 and _hidden(lines[-2], lines[-1], new, costs, ahead):
            lines.pop()
        lines.append(new)
    found: list[int] = []
    at = len(sizes)
    while at:
        found.append(ahead[at])
        at = best[at]
    return found[::-1]


def _at(size: int, line: int, costs: Sequence[float], ahead: Sequence[int]) -> float:
    return costs[line] - ahead[line] * size


def _hidden(left: int, middle: int, right: int, costs: Sequence[float], ahead: Sequence[int]) -> bool:
    """Whether the line in the middle is nowhere below both others."""
    return (costs[right] - costs[left]) * (ahead[middle] - ahead[left]) <= (costs[middle] - costs[left]) * (
        ahead[right] - ahead[left]
    )
