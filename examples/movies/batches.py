"""What the movies ranker trains on: targets, their histories, and candidates drawn for them.

For each target (user, position) the history is what that user rated before it, the negatives are drawn in
proportion to training counts among what that user never rated in training, and the prior and the features
leave the target's own rating out. Rule: nothing here reads a held-out rating; not even to keep it out of the
negatives, because that would tell which item it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples.movies.baselines import CoOccurrence
from examples.movies.features import Features
from examples.movies.histories import padded
from examples.ratings import UNKNOWN_ROW, Ratings

TARGETS_PER_USER_MAX = 20
"""The test asks for each user's next item once: without a bound the busiest 1 % of users would be a quarter
of
all targets."""


@dataclass(frozen=True, slots=True)
class Material:
    """All that training reads, made from training ratings alone."""

    train: Ratings
    counts: NDArray[np.int64]
    prior: CoOccurrence
    features: Features


@dataclass(frozen=True, slots=True)
class Examples:
    """Training targets, one row each.

    Attributes:
        at: int64 [E], position of the target in the training ratings.
        first: int64 [E], where its user begins there.
        history: int64 [E, L], what came before it, padded.
        length: int64 [E].
    """

    at: NDArray[np.int64]
    first: NDArray[np.int64]
    history: NDArray[np.int64]
    length: NDArray[np.int64]


def examples_of(train: Ratings, counts: NDArray[np.int64]) -> Examples:
    """The latest TARGETS_PER_USER_MAX training ratings of each user that have a history and a known item.

    Known means that others rated it too: the test leaves out items unknown to training, and without its own
    rating such an item would be unknown.
    """
    first, end = np.searchsorted(train.user, train.user), np.searchsorted(train.user, train.user, "right")
    position = np.arange(len(train))
    is_late = position >= end - TARGETS_PER_USER_MAX
    at = np.flatnonzero((position > first) & is_late & (counts[train.item] > 1))
    history, length = padded(train, first[at], at)
    return Examples(at, first[at], history, length)


class Sampler:
    """Draws items in proportion to training counts that a given user never rated."""

    def __init__(self, train: Ratings, counts: NDArray[np.int64]) -> None:
        self._cumulative = np.cumsum(counts)
        self._rows = len(counts)
        self._rated = np.unique(train.user * self._rows + train.item)

    def draw(self, user: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Items [B, count] for users [B]; what a few redraws cannot replace becomes the unknown row."""
        items = self._items(rng, (len(user), count))
        for _ in range(4):
            again = self._is_rated(user, items)
            items[again] = self._items(rng, int(again.sum()))
        items[self._is_rated(user, items)] = UNKNOWN_ROW
        return items

    def _items(self, rng: np.random.Generator, shape: int | tuple[int, int]) -> NDArray[np.int64]:
        drawn = np.searchsorted(self._cumulative, rng.integers(0, self._cumulative[-1], shape), side="right")
        return drawn.astype(np.int64)

    def _is_rated(self, user: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
        key = user[:, None] * self._rows + items
        at = np.minimum(np.searchsorted(self._rated, key), len(self._rated) - 1)
        rated: NDArray[np.bool_] = self._rated[at] == key
        return rated


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's tensors: B histories, each with C candidates, the target in column 0."""

    history: Tensor
    length: Tensor
    candidates: Tensor
    features: Tensor
    prior: Tensor


class Batches:
    """Draws candidates for training targets and looks up what a caller would send with them."""

    def __init__(
        self, material: Material, negatives: int, prior_absent_share: float, rng: np.random.Generator
    ) -> None:
        self._material = material
        self._examples = examples_of(material.train, material.counts)
        self._negatives = negatives
        self._prior_absent_share = prior_absent_share
        self._rng = rng
        self._sampler = Sampler(material.train, material.counts)

    def __len__(self) -> int:
        """Number of training targets."""
        return len(self._examples.at)

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """The examples [B] in `rows`, with fresh negatives."""
        train, examples = self._material.train, self._examples
        at = examples.at[rows]
        negatives = self._sampler.draw(train.user[at], self._negatives, self._rng)
        candidates = np.concatenate([train.item[at][:, None], negatives], axis=1)
        is_own = np.broadcast_to(np.arange(candidates.shape[1]) == 0, candidates.shape)
        own_rating = np.where(is_own, train.rating[at][:, None], np.float32(np.nan))
        length = examples.length[rows]
        history = examples.history[rows, : length.max()]
        prior = self._material.prior.score(history, length, candidates, is_own)
        prior[self._rng.random(len(rows)) < self._prior_absent_share] = 0.0
        features = self._material.features.of(candidates, own_rating)
        return Batch(*(torch.from_numpy(array) for array in (history, length, candidates, features, prior)))
