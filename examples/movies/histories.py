"""What a user had rated before a moment: the model's context, padded on the right, most recent last.

Rule: a history is cut out of training ratings only, and holds nothing at or after the position it is for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.ratings import UNKNOWN_ROW, Ratings

HISTORY_MAX = 50


def padded(
    train: Ratings, first: NDArray[np.int64], end: NDArray[np.int64], longest: int = HISTORY_MAX
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The last `longest` items of train[first:end], for each pair of bounds.

    Args:
        train: in order of user and time, items as catalogue rows.
        first: int64 [B], where each user begins.
        end: int64 [B], one past the last rating that may be seen.
        longest: most items kept.

    Returns:
        int64 [B, longest] catalogue rows, padded with UNKNOWN_ROW, and int64 [B] lengths.
    """
    length = np.minimum(end - first, longest)
    at = (end - length)[:, None] + np.arange(longest)
    is_real = np.arange(longest) < length[:, None]
    return np.where(is_real, train.item[np.where(is_real, at, 0)], UNKNOWN_ROW), length
