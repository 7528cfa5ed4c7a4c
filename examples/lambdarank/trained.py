"""The trained lambdarank ranker and what it was made from; training takes 2 s, so nothing is kept on disk."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from examples.lambdarank.data import RankData, load
from examples.lambdarank.linear_prior import LinearPrior, fit
from examples.lambdarank.model import HEAD, DeepCrossRanker
from examples.lambdarank.train import TrainConfig, train_ranker


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained ranker, its prior and its data."""

    data: RankData
    prior: LinearPrior
    model: DeepCrossRanker
    config: TrainConfig

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The ranker's scores [N] of documents [N, 300]."""
        return scores(self.model, features)


@functools.cache
def trained() -> Trained:
    """The ranker of the data found, trained once per process.

    Raises:
        FileNotFoundError: the data is not there.
    """
    data = load()
    config = TrainConfig()
    model = train_ranker(data.train, config).requires_grad_(False)
    return Trained(data, fit(data.train), model, config)


def scores(model: DeepCrossRanker, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores [N] of documents [N, 300]."""
    with torch.inference_mode():
        found: NDArray[np.float32] = model.score({}, torch.from_numpy(features))[HEAD].numpy()
    return found
