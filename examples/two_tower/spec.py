"""Two specs of one trained two-tower: `examples.two_tower.spec:ids` and `examples.two_tower.spec:vectors`.

`ids`: the caller sends movie ids, of the history and of the candidates; vectors live in the bundle.
`vectors`: the caller keeps them (a vector store, a nightly job) and sends the user's, the items' and their
biases; the bundle holds no weights, and serves items that it has never heard of. Both give the same score.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from examples.movies.batches import Sampler, examples_of
from examples.movies.data import load
from examples.movies.histories import HISTORY_MAX, padded
from examples.movies.protocol import NEGATIVES, Protocol, split
from examples.ratings import Dataset
from examples.two_tower.model import HEAD, ServedByIds, TwoTower, context_of_vectors, score_of_vectors
from examples.two_tower.train import TrainConfig, train_towers
from export.spec import ExampleRequest, ExportSpec, VocabSpec, candidate, candidate_id, context

LABELLED = 2_000
UNLABELLED = 1_000
CALIBRATION = 256


@dataclass(frozen=True, slots=True)
class Trained:
    """The trained towers with their data."""

    dataset: Dataset
    protocol: Protocol
    towers: TwoTower
    config: TrainConfig


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests in catalogue rows, one row each.

    Attributes:
        history: int64 [B, L], padded; length: int64 [B].
        candidates: int64 [B, C].
        labels: float32 [B, C], or None.
    """

    history: NDArray[np.int64]
    length: NDArray[np.int64]
    candidates: NDArray[np.int64]
    labels: NDArray[np.float32] | None


def train_on(dataset: Dataset, config: TrainConfig) -> Trained:
    """Train on a data set."""
    protocol = split(dataset)
    return Trained(dataset, protocol, train_towers(protocol, config), config)


@functools.cache
def trained() -> Trained:
    """The towers of the data found, trained once per process."""
    return train_on(load(), TrainConfig())


def ids() -> ExportSpec:
    """The form that takes ids, of the data found."""
    return ids_of(trained())


def vectors() -> ExportSpec:
    """The form that takes vectors, of the data found."""
    return vectors_of(trained())


def ids_of(source: Trained) -> ExportSpec:
    """The form that takes ids."""
    served = ServedByIds(source.towers)
    keys = source.dataset.catalogue.keys
    test, unlabelled, calibration = (_by_ids(asked, keys) for asked in _asked(source))
    return ExportSpec(
        name="two-tower-ids",
        context=served.context,
        score=served.score,
        inputs=[
            context("history", "int64", "L", vocab="movie", length="history_length"),
            candidate_id("movie", vocab="movie"),
        ],
        heads={HEAD: 1.0},
        axes={"L": HISTORY_MAX},
        vocabs={"movie": VocabSpec(keys=keys)},
        requests=test,
        unlabelled=unlabelled,
        calibration=calibration,
        seed=source.config.seed,
        data={"source": source.dataset.source},
    )


def vectors_of(source: Trained) -> ExportSpec:
    """The form that takes vectors; export it with `--variants fp32`: it has no weights to shrink."""
    width = source.config.width
    test, unlabelled, calibration = (_by_vectors(asked, source.towers) for asked in _asked(source))
    return ExportSpec(
        name="two-tower-vectors",
        context=context_of_vectors,
        score=score_of_vectors,
        inputs=[
            context("user", "float32", width),
            candidate("vector", "float32", width),
            candidate("bias", "float32"),
        ],
        heads={HEAD: 1.0},
        requests=test,
        unlabelled=unlabelled,
        calibration=calibration,
        seed=source.config.seed,
        data={"source": source.dataset.source},
    )


def _asked(source: Trained) -> tuple[Asked, Asked, Asked]:
    """Test requests with labels, then unlabelled and calibration requests at earlier moments of users."""
    rng = np.random.default_rng(source.config.seed)
    train, counts, test = source.protocol.train, source.protocol.counts, source.protocol.test
    rows = rng.permutation(len(test))[:LABELLED]
    history, length = padded(train, test.first[rows], test.end[rows])
    candidates = test.candidates[rows]
    labels = (candidates == test.held[rows][:, None]).astype(np.float32)
    examples = examples_of(train, counts)
    earlier = rng.permutation(len(examples.at))[: UNLABELLED + CALIBRATION]
    at = examples.at[earlier]
    others = Sampler(train, counts).draw(train.user[at], NEGATIVES, rng)
    drawn = rng.permuted(np.concatenate([train.item[at][:, None], others], axis=1), axis=1)

    def part(chosen: slice) -> Asked:
        few = earlier[chosen]
        return Asked(examples.history[few], examples.length[few], drawn[chosen], None)

    return (
        Asked(history, length, candidates, labels),
        part(slice(UNLABELLED)),
        part(slice(UNLABELLED, None)),
    )


def _by_ids(asked: Asked, keys: NDArray[np.int64]) -> list[ExampleRequest]:
    return [
        ExampleRequest(
            context={"history": keys[asked.history[at, : asked.length[at]]]},
            candidates={"movie": keys[asked.candidates[at]]},
            labels=None if asked.labels is None else asked.labels[at],
        )
        for at in range(len(asked.length))
    ]


def _by_vectors(asked: Asked, towers: TwoTower) -> list[ExampleRequest]:
    """What a caller with a vector store would send: float32, computed by the same towers."""
    with torch.inference_mode():
        users = towers.user_vector(torch.from_numpy(asked.history), torch.from_numpy(asked.length)).numpy()
        items = towers.item_vector(torch.arange(towers.item.num_embeddings)).numpy()
        biases = towers.bias.weight.squeeze(1).numpy()
    return [
        ExampleRequest(
            context={"user": users[at]},
            candidates={"vector": items[asked.candidates[at]], "bias": biases[asked.candidates[at]]},
            labels=None if asked.labels is None else asked.labels[at],
        )
        for at in range(len(asked.length))
    ]
