"""The grid layout: where each candidate of a batch stands when the requests are rows of a table.

The meaning of the roles `grid_index` and `grid_position`, and so shared by export, which judges graphs with
it, and by the server, which feeds them. Computed by us alone: a wrong index would show one caller's
candidates to another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

EMPTY: Final = -1
"""In `grid_index`: this slot holds no candidate."""


def lay_out(counts: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give every candidate of a batch a slot: row r of the grid holds request r's, in order, from slot 0.

    Args:
        counts: candidates of each request, at least one request of at least one.

    Returns:
        grid_index: int64 [R, C], C = the largest count: which of the N candidates stands there, or EMPTY.
        grid_position: int64 [N]: where each candidate stands, as r * C + slot.
    """
    sizes = np.asarray(counts, np.int64)[:, None]
    slot = np.arange(sizes.max())
    first = np.cumsum(sizes, axis=0) - sizes
    index = np.where(slot < sizes, first + slot, EMPTY)
    # Candidates are numbered as the grid is read, row by row: what is not empty is their positions.
    return index, np.flatnonzero(index != EMPTY)
