"""Which requests of a run share a grid."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.engine.grids import EMPTY_FREE, EMPTY_SHARE_MAX, alike


@given(counts=st.lists(st.integers(1, 600), min_size=1, max_size=40))
def test_no_grid_is_emptier_than_allowed(counts: list[int]) -> None:
    """Every request is in one group, in the order of arrival, and no group is mostly empty slots."""
    groups = alike(counts)
    assert list(range(len(counts))) == sorted(place for group in groups for place in group)
    for group in groups:
        assert sorted(group) == group
        sizes = [counts[place] for place in group]
        empty = len(sizes) * max(sizes) - sum(sizes)
        assert empty <= max(EMPTY_FREE, EMPTY_SHARE_MAX * sum(sizes))


def test_requests_of_one_size_make_one_grid() -> None:
    """However many they are; and a few small ones of unlike sizes as well."""
    assert [list(range(50))] == alike([100] * 50)
    assert [[0, 1, 2]] == alike([3, 20, 9])


def test_a_large_request_is_kept_apart_from_many_small_ones() -> None:
    """One of 500 would make 16 x 500 slots of 575 candidates."""
    assert [[7], [at for at in range(16) if at != 7]] == alike([5] * 7 + [500] + [5] * 8)
