"""Turns histories and candidates into requests, exactly as a caller of the server would send them.

Rule: raw ids, no padding, no batch axis; the candidate order says nothing about the label.
"""

from __future__ import annotations

from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from examples.movies.batches import Material, Sampler, examples_of
from examples.movies.histories import padded
from examples.movies.protocol import NEGATIVES, Protocol
from examples.ratings import Dataset
from export.spec import ExampleRequest


class Source(Interface):
    """What requests are made of."""

    @property
    def dataset(self) -> Dataset:
        """The ratings and the catalogue."""

    @property
    def protocol(self) -> Protocol:
        """Who is asked what."""

    @property
    def material(self) -> Material:
        """Priors and features."""


def of_test(trained: Source, rows: NDArray[np.int64]) -> list[ExampleRequest]:
    """Labelled requests of the protocol's test rows: label 1 for the held-out item, 0 for the other 99."""
    test, material = trained.protocol.test, trained.material
    history, length = padded(material.train, test.first[rows], test.end[rows])
    candidates = test.candidates[rows]
    prior = material.prior.score(history, length, candidates)
    features = material.features.of(candidates)
    labels = (candidates == test.held[rows][:, None]).astype(np.float32)
    return [
        _request(trained, history[at, : length[at]], candidates[at], (features[at], prior[at]), labels[at])
        for at in range(len(rows))
    ]


def of_training(trained: Source, count: int, seed: int) -> list[ExampleRequest]:
    """Unlabelled requests at random earlier moments of users: by construction none is a test request."""
    material = trained.material
    train = material.train
    rng = np.random.default_rng(seed)
    examples = examples_of(train, material.counts)
    rows = rng.permutation(len(examples.at))[:count]
    at, history, length = examples.at[rows], examples.history[rows], examples.length[rows]
    negatives = Sampler(train, material.counts).draw(train.user[at], NEGATIVES, rng)
    candidates = rng.permuted(np.concatenate([train.item[at][:, None], negatives], axis=1), axis=1)
    is_own = candidates == train.item[at][:, None]
    prior = material.prior.score(history, length, candidates, is_own)
    own_rating = np.where(is_own, train.rating[at][:, None], np.float32(np.nan))
    features = material.features.of(candidates, own_rating)
    return [
        _request(trained, history[row, : length[row]], candidates[row], (features[row], prior[row]), None)
        for row in range(len(rows))
    ]


def _request(
    trained: Source,
    history: NDArray[np.int64],
    candidates: NDArray[np.int64],
    numbers: tuple[NDArray[np.float32], NDArray[np.float32]],
    labels: NDArray[np.float32] | None,
) -> ExampleRequest:
    keys = trained.dataset.catalogue.keys
    features, prior = numbers
    return ExampleRequest(
        context={"history": keys[history]},
        candidates={"movie": keys[candidates], "features": features},
        prior_scores=prior,
        labels=labels,
    )
