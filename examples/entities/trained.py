"""The trained entity rankers of each fold; nothing is kept on disk."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from examples.entities.bm25 import Bm25
from examples.entities.data import Entities, load
from examples.entities.model import CrossEncoder
from examples.entities.train import Example, TrainConfig, score, train_ranker

SCORED_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Trained:
    """A ranker that has seen the training queries of one fold.

    Attributes:
        train, test: the fold's queries.
    """

    model: CrossEncoder
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    source: str
    config: TrainConfig

    def score(self, example: Example) -> NDArray[np.float32]:
        """Scores [N] of a query's candidates."""
        rows = np.arange(len(example.grades))
        parts = [rows[at : at + SCORED_AT_ONCE] for at in range(0, len(rows), SCORED_AT_ONCE)]
        with torch.inference_mode():
            found = [score(self.model, [example.inputs(part)]).numpy() for part in parts]
        return np.concatenate(found)


@functools.cache
def examples() -> tuple[Entities, tuple[Example, ...]]:
    """The data found and its queries as the model sees them, by row."""
    data = load()
    collection = Bm25(data.titles())
    return data, tuple(Example.of(query, collection) for query in data.queries)


@functools.cache
def trained(fold: int = 0, config: TrainConfig | None = None) -> Trained:
    """The ranker of a fold, trained once per process."""
    config = TrainConfig() if config is None else config
    data, every = examples()
    train, test = (tuple(every[row] for row in rows) for rows in data.folds[fold])
    model = train_ranker(train, config).requires_grad_(False)
    return Trained(model, train, test, data.source, config)
