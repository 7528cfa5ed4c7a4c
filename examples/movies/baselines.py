"""What a ranker must beat: popularity, and item co-occurrence, which is also the prior that callers send.

Rule: both are counted from training ratings only. When a training rating is itself the target, its own
contribution is taken out first (`is_own`), so that the prior a model trains on means what the prior of an
unseen rating means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.ratings import UNKNOWN_ROW, Ratings

RECENT = 20
"""Items of the history that the co-occurrence score looks back on."""
ITEMS_MAX = 32_768
"""Most catalogue rows: the counts are a dense uint16 matrix, 2 GiB at this size."""
_LOOKUPS_PER_BLOCK = 1 << 21


class CoOccurrence:
    """Item-to-item cosine similarity of the users who rated both, summed over a history.

    score(history, c) = sum over h in history of n(h, c) / sqrt(n(h) n(c)), with n the number of users who
    rated (Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms", WWW 2001, section
    3.1, on binary ratings).
    """

    def __init__(self, train: Ratings, rows: int) -> None:
        """Count pairs in `train` over a catalogue of `rows` rows.

        Raises:
            ValueError: the catalogue is larger than ITEMS_MAX.
        """
        if rows > ITEMS_MAX:
            raise ValueError(f"co-occurrence is counted densely up to {ITEMS_MAX:,} items, got {rows:,}")
        self._pairs = np.zeros((rows, rows), np.uint16)
        for items in np.split(train.item, np.flatnonzero(np.diff(train.user)) + 1):
            self._pairs[np.ix_(items, items)] += 1
        counts = np.bincount(train.item, minlength=rows)
        np.fill_diagonal(self._pairs, 0)
        self._pairs[UNKNOWN_ROW] = self._pairs[:, UNKNOWN_ROW] = 0
        self._counts = counts.astype(np.float32)

    def score(
        self,
        history: NDArray[np.int64],
        length: NDArray[np.int64],
        candidates: NDArray[np.int64],
        is_own: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Score candidates for each history.

        Args:
            history: int64 [B, L] catalogue rows, padded on the right with UNKNOWN_ROW.
            length: int64 [B].
            candidates: int64 [B, C] catalogue rows.
            is_own: bool [B, C]: the candidate is a training rating of this very user; its pair with every
                item of the history, and itself, are left out of the counts.

        Returns:
            float32 [B, C], >= 0; 0 = never seen together.
        """
        out = np.empty(candidates.shape, np.float32)
        block = max(1, _LOOKUPS_PER_BLOCK // (RECENT * candidates.shape[1]))
        for at in range(0, len(history), block):
            part = slice(at, at + block)
            recent = _last(history[part], length[part], RECENT)
            own = np.zeros(candidates[part].shape, np.bool_) if is_own is None else is_own[part]
            out[part] = self._score(recent, candidates[part], own)
        return out

    def _score(
        self, recent: NDArray[np.int64], candidates: NDArray[np.int64], own: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        pairs = self._pairs[recent[:, :, None], candidates[:, None, :]].astype(np.float32)
        pairs -= own[:, None, :] & (recent != UNKNOWN_ROW)[:, :, None]
        count_h = np.maximum(self._counts[recent], 1.0)
        count_c = np.maximum(self._counts[candidates] - own, 1.0)
        total: NDArray[np.float32] = np.einsum("blc,bl->bc", pairs, count_h**-0.5).astype(np.float32)
        total *= count_c**-0.5
        return total


def popularity(counts: NDArray[np.int64], candidates: NDArray[np.int64]) -> NDArray[np.float32]:
    """Training ratings of each candidate, float32 [B, C]."""
    return counts[candidates].astype(np.float32)


def _last(history: NDArray[np.int64], length: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """The `most` most recent items of each history [B, most], padded on the right."""
    kept = np.minimum(length, most)[:, None]
    column = np.arange(most)
    at = np.clip(length[:, None] - kept + column, 0, history.shape[1] - 1)
    return np.where(column < kept, np.take_along_axis(history, at, axis=1), UNKNOWN_ROW)
