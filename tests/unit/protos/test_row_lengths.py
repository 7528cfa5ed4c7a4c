"""Lengths are read the same way by exporter and server."""

from __future__ import annotations

import numpy as np

from protos.row_lengths import row_lengths


def test_lengths_that_are_sent() -> None:
    """Taken as they are, from one token to the axis' size."""
    assert [3, 1, 1, 5] == row_lengths(np.array([3, 0, -7, 90]), 5).tolist()


def test_lengths_of_a_mask_or_of_ids() -> None:
    """Up to the last value that is no padding; a hole is no end, an empty row has one token."""
    ids = np.array([[7, 0, 7, 0], [7, 7, 7, 7], [0, 0, 0, 0], [7, 0, 0, 0]])
    assert [3, 4, 1, 1] == row_lengths(ids, 4).tolist()
    assert [3, 4, 1, 1] == row_lengths(ids > 0, 4).tolist()
    assert [4, 1, 4, 4] == row_lengths(ids, 4, pad_value=7).tolist()
