"""Parts of the requests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadtest.fold import quality, slices
from loadtest.fold.slices import Whole
from tests.unit.loadtest.fold.known import truth
from tests.unit.loadtest.made import answered_after


def whole(candidates: Sequence[int]) -> Whole:
    """Answers of which every third is late."""
    records = answered_after(*(30.0 if at % 3 == 0 else 5.0 for at in range(len(candidates))))
    worth = quality.per_request(records, truth([[1, 0, 0, 0]]), [25.0, 25.0], 10)
    return Whole(records, np.array(candidates), worth, [25.0, 25.0], 2.0, 0.99)


def test_classes_are_told_apart() -> None:
    """Each with its own requests and quality; a class that had none is left out; rates add up."""
    parts = whole([4] * 6)
    parts.records.rows["class"] = [0, 1, 1, 0, 1, 1]
    feed, search = slices.by_class(parts, ["feed", "search", "idle"])
    assert ("feed", 2, 2) == (feed.name, feed.numbers.scheduled, feed.numbers.violations)
    assert ("search", 4, 0) == (search.name, search.numbers.scheduled, search.numbers.violations)
    assert feed.quality is not None
    assert search.quality is not None
    assert feed.quality.perceived < search.quality.perceived == 1.0
    assert 3.0 == feed.numbers.offered_per_s + search.numbers.offered_per_s


def test_deciles_of_many_counts_are_ten_of_a_size() -> None:
    """Counts 1 to 100 in any order: ten slices of ten, ascending."""
    found = slices.by_decile(whole(np.random.default_rng(0).permutation(np.arange(1, 101)).tolist()))
    assert [(1 + 10 * at, 10 + 10 * at, 10) for at in range(10)] == [
        (part.candidates_least, part.candidates_most, part.numbers.scheduled) for part in found
    ]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=40))
def test_no_count_is_in_two_slices(candidates: list[int]) -> None:
    """Nothing is lost, nothing counted twice, and the slices' ranges do not touch."""
    found = slices.by_decile(whole(candidates))
    assert len(candidates) == sum(part.numbers.scheduled for part in found)
    ends = [end for part in found for end in (part.candidates_least, part.candidates_most)]
    assert sorted(ends) == ends
    assert all(left.candidates_most < right.candidates_least for left, right in itertools.pairwise(found))
    assert len(found) <= 10


def test_one_count_is_one_slice() -> None:
    """Where all requests are of a size there is nothing to compare."""
    (only,) = slices.by_decile(whole([100] * 30))
    assert ("100 candidates", 30) == (only.name, only.numbers.scheduled)


def test_no_requests_no_slices() -> None:
    """Nothing is sliced into nothing."""
    assert [] == slices.by_decile(whole([])) == slices.by_class(whole([]), ["all"])
