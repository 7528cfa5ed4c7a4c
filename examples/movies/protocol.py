"""The evaluation protocol: the last rating of each user against 99 unseen items drawn by popularity.

Users with at least 5 ratings; each user's ratings in order of time; the last is held out and everything else
is training data. A held-out item that training never saw is left out of the test (no ranker could know it).
Negatives are drawn without replacement in proportion to their training count, because uniform negatives
mostly measure popularity (Krichene and Rendle, "On Sampled Metrics for Item Recommendation", KDD 2020).

Rule: nothing of a held-out rating is in `Protocol.train`, and draws come from PCG64's raw stream, which NumPy
keeps the same for ever, with integer arithmetic: the test is the same bit for bit everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.ratings import UNKNOWN_ROW, Dataset, Ratings

RATINGS_MIN = 5
NEGATIVES = 99
_DRAWS_MAX = 64
"""Rounds of drawing 2 × NEGATIVES items before a catalogue counts as too small for the protocol."""


@dataclass(frozen=True, slots=True)
class Test:
    """The held-out ratings, one row each.

    Attributes:
        user: int64 [T].
        first, end: int64 [T]: the user's training ratings are `train[first:end]`, in order of time.
        held: int64 [T], catalogue row of the held-out item.
        unix_s: int64 [T], when it was rated.
        candidates: int64 [T, 100] catalogue rows, the held-out one among them in a random place.
        place: int64 [T], that place.
    """

    user: NDArray[np.int64]
    first: NDArray[np.int64]
    end: NDArray[np.int64]
    held: NDArray[np.int64]
    unix_s: NDArray[np.int64]
    candidates: NDArray[np.int64]
    place: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True, slots=True)
class Protocol:
    """Training ratings (items as catalogue rows) and the test.

    Attributes:
        counts: int64 [catalogue rows], training ratings of each item.
    """

    train: Ratings
    counts: NDArray[np.int64]
    test: Test


def split(dataset: Dataset, seed: int = 0) -> Protocol:
    """Hold out the last rating of every user with at least RATINGS_MIN, and draw its negatives.

    Raises:
        ValueError: a user has seen so much of the catalogue that 99 unseen items cannot be drawn.
    """
    ratings = dataset.ratings
    rows = Ratings(ratings.user, dataset.catalogue.rows(ratings.item), ratings.rating, ratings.unix_s)
    is_last = np.append(rows.user[1:] != rows.user[:-1], True)
    per_user = np.searchsorted(rows.user, rows.user, "right") - np.searchsorted(rows.user, rows.user)
    is_held = is_last & (per_user >= RATINGS_MIN)
    train, held = rows.where(~is_held), rows.where(is_held)
    counts = np.bincount(train.item, minlength=len(dataset.catalogue))
    counts[UNKNOWN_ROW] = 0
    held = held.where(counts[held.item] > 0)
    first, end = np.searchsorted(train.user, held.user), np.searchsorted(train.user, held.user, "right")
    draw = _Draw(counts, seed)
    candidates = np.empty((len(held), NEGATIVES + 1), np.int64)
    place = np.empty(len(held), np.int64)
    for row, item in enumerate(held.item):
        seen = np.append(train.item[first[row] : end[row]], item)
        place[row] = draw.below(NEGATIVES + 1)
        candidates[row] = np.insert(draw.unseen(seen), place[row], item)
    return Protocol(train, counts, Test(held.user, first, end, held.item, held.unix_s, candidates, place))


class _Draw:
    """Items drawn in proportion to integer counts."""

    def __init__(self, counts: NDArray[np.int64], seed: int) -> None:
        self._bits = np.random.PCG64(seed)
        self._cumulative = np.cumsum(counts)

    def below(self, limit: int) -> int:
        """An integer in [0, limit)."""
        return int(self._bits.random_raw() % limit)

    def unseen(self, seen: NDArray[np.int64]) -> NDArray[np.int64]:
        """NEGATIVES different items that are not in `seen`, in the order drawn."""
        taken = set(seen.tolist())
        found: list[int] = []
        for _ in range(_DRAWS_MAX):
            mass = self._bits.random_raw(2 * NEGATIVES) % np.uint64(self._cumulative[-1])
            for item in np.searchsorted(self._cumulative, mass.astype(np.int64), side="right").tolist():
                if item not in taken:
                    taken.add(item)
                    found.append(item)
                    if len(found) == NEGATIVES:
                        return np.array(found, np.int64)
        raise ValueError(f"the catalogue is too small to draw {NEGATIVES} items that a user has not seen")
