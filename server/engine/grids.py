"""Which requests may share a grid: its rows are as long as its largest request's, so unlike sizes leave gaps.

A run of a grid's bundle is therefore as many batches as keep what is empty small. One batch more costs a
run's fixed part, an empty slot what a candidate costs in attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

EMPTY_SHARE_MAX: Final = 0.25
"""Empty slots of a grid, per candidate in it."""
EMPTY_FREE: Final = 64
"""So many empty slots cost less than another batch: some 40 against 50 microseconds (docs/decisions.md)."""


def alike(counts: Sequence[int]) -> list[list[int]]:
    """Group requests by size.

    Args:
        counts: candidates of each.

    Returns:
        places in `counts`, every one once; each group's requests in the order that they came in.
    """
    groups: list[list[int]] = []
    candidates = largest = 0
    for place in sorted(range(len(counts)), key=lambda place: -counts[place]):
        count = counts[place]
        requests = len(groups[-1]) if groups else 0
        empty = (requests + 1) * largest - (candidates + count)
        if not groups or empty > max(EMPTY_FREE, EMPTY_SHARE_MAX * (candidates + count)):
            groups.append([])
            candidates, largest = 0, count
        groups[-1].append(place)
        candidates += count
    return [sorted(group) for group in groups]
