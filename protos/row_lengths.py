"""How long each candidate is: the one rule by which exporter and server read lengths out of a column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def row_lengths(column: NDArray[Any], longest: int, pad_value: float = 0) -> NDArray[np.int64]:
    """Tokens of each candidate along the length axis, int64 [N], from 1 to `longest`.

    Args:
        column: of shape [N] it holds the lengths; of shape [N, S] (token ids, or a mask) a row reaches to its
            last value that is not `pad_value`.
        longest: the size S of the columns that have the axis. A length beyond it says that nothing is
            padding; a row without a token is given one, since no graph takes none.
    """
    if column.ndim == 1:
        lengths = column.astype(np.int64)
    else:
        used = column != pad_value
        lengths = np.where(used.any(axis=1), column.shape[1] - used[:, ::-1].argmax(axis=1), 0)
    return np.clip(lengths, 1, longest)
