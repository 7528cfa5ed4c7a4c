"""`examples.multitask.spec:spec`: the multi-task ranker, ready to export.

Labelled requests are the movies protocol's test; calibration requests are targets that training never saw,
with the same 99 negatives as a test request, so that the chances that are fitted are those of a request as
served.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.movies.baselines import CoOccurrence
from examples.movies.batches import Examples, Material, Sampler, examples_of
from examples.movies.data import load
from examples.movies.features import COLUMNS, Features
from examples.movies.histories import HISTORY_MAX, padded
from examples.movies.protocol import NEGATIVES, Protocol, split
from examples.multitask.model import MultiTaskRanker
from examples.multitask.tasks import LIKE, WATCH, head_labels, held_ratings, rated
from examples.multitask.train import Candidates, TrainConfig, candidates_of, train_ranker
from examples.ratings import Dataset
from export.spec import (
    ExampleRequest,
    ExportSpec,
    OutputSpec,
    VocabSpec,
    candidate,
    candidate_id,
    context,
    prior,
)

LABELLED = 2_000
UNLABELLED = 1_000
CALIBRATION = 1_000
LIKE_WEIGHT = 0.02
"""Of a chance near 0.7 beside one near 0.01: likes decide between movies about as likely to be watched."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained ranker with its data; `held_back`: examples that it never saw."""

    dataset: Dataset
    protocol: Protocol
    material: Material
    examples: Examples
    held_back: NDArray[np.int64]
    model: MultiTaskRanker
    config: TrainConfig


def train_on(dataset: Dataset, config: TrainConfig) -> Trained:
    """Train on a data set, CALIBRATION targets (at most a fifth) held back."""
    protocol = split(dataset)
    material = Material(
        protocol.train,
        protocol.counts,
        CoOccurrence(protocol.train, len(dataset.catalogue)),
        Features(protocol.train, dataset.catalogue),
    )
    examples = examples_of(protocol.train, protocol.counts)
    rows = np.random.default_rng(config.seed).permutation(len(examples.at))
    held_back = rows[: min(CALIBRATION, len(rows) // 5)]
    model = train_ranker(material, examples, held_back, config)
    return Trained(dataset, protocol, material, examples, held_back, model, config)


@functools.cache
def trained() -> Trained:
    """The ranker of the data found, trained once per process."""
    return train_on(load(), TrainConfig())


def spec() -> ExportSpec:
    """The ranker of the data found; training takes some 15 s."""
    return spec_of(trained())


def spec_of(source: Trained) -> ExportSpec:
    """The export specification of one trained ranker."""
    rng = np.random.default_rng(source.config.seed + 1)
    seen = np.setdiff1d(np.arange(len(source.examples.at)), source.held_back)
    return ExportSpec(
        name="multitask",
        context=source.model.context,
        score=source.model.score,
        inputs=[
            context("history", "int64", "L", vocab="movie", length="history_length"),
            context("history_rating", "float32", "L"),
            candidate_id("movie", vocab="movie"),
            candidate("features", "float32", len(COLUMNS), columns=COLUMNS, non_finite="invalid_candidate"),
            prior("prior", when_absent=0.0),
        ],
        heads={WATCH: 1.0, LIKE: LIKE_WEIGHT},
        outputs={head: OutputSpec(activation="sigmoid", calibrate=True) for head in (WATCH, LIKE)},
        axes={"L": HISTORY_MAX},
        vocabs={"movie": VocabSpec(keys=source.dataset.catalogue.keys)},
        requests=_of_test(source, rng.permutation(len(source.protocol.test))[:LABELLED]),
        unlabelled=_of_training(source, rng.permutation(seen)[:UNLABELLED], rng, labelled=False),
        calibration=_of_training(source, source.held_back, rng, labelled=True),
        seed=source.config.seed,
        data={"source": source.dataset.source},
    )


def _of_test(source: Trained, rows: NDArray[np.int64]) -> list[ExampleRequest]:
    """Labelled requests: the held-out movie among 99 others."""
    test, material = source.protocol.test, source.material
    first, end, candidates = test.first[rows], test.end[rows], test.candidates[rows]
    history, length = padded(material.train, first, end)
    found = Candidates(
        history,
        rated(material.train, first, end),
        length,
        candidates,
        material.features.of(candidates),
        material.prior.score(history, length, candidates),
        held_ratings(source.dataset, source.protocol)[rows],
    )
    watched = candidates == test.held[rows][:, None]
    return [_request(source, found, at, watched[at], labelled=True) for at in range(len(rows))]


def _of_training(
    source: Trained, rows: NDArray[np.int64], rng: np.random.Generator, *, labelled: bool
) -> list[ExampleRequest]:
    """Requests at earlier moments of users, as many candidates as the test's, in a random order."""
    sampler = Sampler(source.material.train, source.material.counts)
    found = candidates_of(source.material, source.examples, rows, sampler, NEGATIVES, rng)
    width = NEGATIVES + 1
    place = np.arange(width)
    requests = []
    for at in range(len(rows)):
        order = rng.permutation(width)
        shuffled = Candidates(
            found.history[at : at + 1],
            found.history_rating[at : at + 1],
            found.length[at : at + 1],
            found.candidates[at : at + 1, order],
            found.features[at : at + 1, order],
            found.prior[at : at + 1, order],
            found.rating[at : at + 1],
        )
        requests.append(_request(source, shuffled, 0, place[order] == 0, labelled=labelled))
    return requests


def _request(
    source: Trained, found: Candidates, at: int, watched: NDArray[np.bool_], *, labelled: bool
) -> ExampleRequest:
    """Row `at` as a caller sends it: raw ids, no padding, no batch axis."""
    keys, length = source.dataset.catalogue.keys, int(found.length[at])
    return ExampleRequest(
        context={
            "history": keys[found.history[at, :length]],
            "history_rating": found.history_rating[at, :length],
        },
        candidates={"movie": keys[found.candidates[at]], "features": found.features[at]},
        prior_scores=found.prior[at],
        labels=watched.astype(np.float32) if labelled else None,
        head_labels=head_labels(watched, found.rating[at]) if labelled else {},
    )
