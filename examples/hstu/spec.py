"""`examples.hstu.spec:spec`: the generative ranker, ready to export."""

from __future__ import annotations

import functools

from examples.hstu.model import GenerativeRanker
from examples.movies import grid_spec
from examples.movies.data import load
from examples.movies.listwise import TrainConfig, Trained, train_on
from examples.ratings import Dataset
from export.spec import ExportSpec

NAME = "hstu"


@functools.cache
def trained() -> Trained:
    """The ranker of the data found, trained once per process."""
    return train(load(), TrainConfig(epochs=1))


def train(dataset: Dataset, config: TrainConfig) -> Trained:
    """Train on a data set."""
    return train_on(dataset, config, GenerativeRanker)


def spec() -> ExportSpec:
    """The ranker of the data found."""
    return spec_of(trained())


def spec_of(source: Trained) -> ExportSpec:
    """The export specification of one trained ranker."""
    return grid_spec.spec_of(source, NAME)
