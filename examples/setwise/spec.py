"""`examples.setwise.spec:spec`: the setwise ranker, ready to export."""

from __future__ import annotations

import functools

from examples.movies import grid_spec
from examples.movies.data import load
from examples.movies.listwise import TrainConfig, Trained, train_on
from examples.ratings import Dataset
from examples.setwise.model import SetRanker
from export.spec import ExportSpec

NAME = "setwise"
NEGATIVES = 29
"""A set in training should be like one that is served, which has a hundred candidates."""


@functools.cache
def trained() -> Trained:
    """The ranker of the data found, trained once per process."""
    return train(load(), TrainConfig(epochs=1, batch=256, negatives=NEGATIVES))


def train(dataset: Dataset, config: TrainConfig) -> Trained:
    """Train on a data set."""
    return train_on(dataset, config, SetRanker)


def spec() -> ExportSpec:
    """The ranker of the data found."""
    return spec_of(trained())


def spec_of(source: Trained) -> ExportSpec:
    """The export specification of one trained ranker."""
    return grid_spec.setwise(grid_spec.spec_of(source, NAME))
