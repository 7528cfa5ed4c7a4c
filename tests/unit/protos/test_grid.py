"""The grid layout: every candidate in its own request's row, once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from protos.grid import EMPTY, lay_out


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_a_candidate_stands_in_its_requests_row(counts: list[int]) -> None:
    """Row r holds request r's candidates in order from the left, the rest of it is empty, none is twice."""
    index, position = lay_out(counts)
    assert (np.int64, np.int64) == (index.dtype, position.dtype)
    assert (len(counts), max(counts)) == index.shape
    at = 0
    for row, count in enumerate(counts):
        assert list(range(at, at + count)) == index[row, :count].tolist()
        assert (index[row, count:] == EMPTY).all()
        at += count
    assert list(range(at)) == index.ravel()[position].tolist()
