"""Groups of like length: every row once, the cheapest grouping, and little padding in real traffic."""

from __future__ import annotations

import itertools
from bisect import bisect_right

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.length_traffic import KINDS, Traffic
from server.engine.buckets import DEARER_MAX, WASTE_MAX, buckets, cut

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=200)
CALLS = st.floats(0, 500)
CALL_TOKENS = 30.0
"""What a call of the entities example costs on one core, measured by the warm-up."""


def computed(lengths: list[int], groups: list[list[int]]) -> int:
    """Tokens with padding."""
    return sum(len(rows) * max(lengths[row] for row in rows) for rows in groups)


def cheapest(lengths: list[int], call_tokens: float) -> float:
    """By trying every cut between distinct lengths."""
    ordered = sorted(lengths)
    borders = [at for at in range(1, len(ordered)) if ordered[at] != ordered[at - 1]]
    best = float("inf")
    for taken in itertools.product([False, True], repeat=len(borders)):
        bounds = [0, *itertools.compress(borders, taken), len(ordered)]
        groups = list(itertools.pairwise(bounds))
        tokens = sum((end - begin) * ordered[end - 1] for begin, end in groups)
        best = min(best, tokens + call_tokens * len(groups))
    return best


@given(lengths=LENGTHS, call_tokens=CALLS)
def test_every_row_is_in_one_group(lengths: list[int], call_tokens: float) -> None:
    """No row is lost, none is run twice, no group is empty, and its last row is its longest."""
    groups = buckets(np.array(lengths), call_tokens)
    assert list(range(len(lengths))) == sorted(itertools.chain.from_iterable(groups))
    for rows in groups:
        assert lengths[rows[-1]] == max(lengths[row] for row in rows)


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30), call_tokens=CALLS)
def test_no_grouping_is_cheaper(lengths: list[int], call_tokens: float) -> None:
    """Padded tokens and calls together, against every other cut; what is taken costs hardly more."""
    ordered = sorted(lengths)
    sizes = sorted(set(lengths))
    ends = cut(sizes, [bisect_right(ordered, size) for size in sizes], call_tokens)
    groups = [list(range(begin, end)) for begin, end in itertools.pairwise([0, *ends])]
    least = computed(ordered, groups) + call_tokens * len(groups)
    assert cheapest(lengths, call_tokens) == pytest.approx(least)
    taken = [list(rows) for rows in buckets(np.array(lengths), call_tokens)]
    cost = computed(lengths, taken) + call_tokens * len(taken)
    assert least * (1 - 1e-9) <= cost <= DEARER_MAX * least * (1 + 1e-9)


def test_the_ends_of_the_scale() -> None:
    """Calls for nothing: no padding at all. Calls beyond price: one. Nobody: none."""
    lengths = np.array([5, 2, 5, 9, 2])
    assert [[1, 4], [0, 2], [3]] == [rows.tolist() for rows in buckets(lengths, 0.0)]
    assert [[1, 4, 0, 2, 3]] == [rows.tolist() for rows in buckets(lengths, 1e9)]
    assert [] == buckets(np.array([], np.int64), 1.0)


@pytest.mark.parametrize("together", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_little_is_padding_in_real_traffic(kind: str, together: int) -> None:
    """At most a tenth of what is computed, over a seeded draw, requests alone and four to a run."""
    traffic = Traffic(kind, seed=7)
    tokens = total = 0
    for _ in range(200):
        lengths = np.concatenate([traffic.request() for _ in range(together)])
        tokens += int(lengths.sum())
        total += sum(len(rows) * int(lengths[rows[-1]]) for rows in buckets(lengths, CALL_TOKENS))
    assert total * (1 - WASTE_MAX) <= tokens
