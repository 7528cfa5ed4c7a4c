"""Trains the towers: each target against the other targets of its batch.

Softmax over in-batch items, without the correction for how often an item is drawn (Yi et al., "Sampling-Bias-
Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys 2019): the protocol's candidates are
drawn by popularity, as batches are. For candidates drawn otherwise, subtract log(draw rate) from the logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from examples.movies.batches import Examples, examples_of
from examples.movies.embeddings import spectral
from examples.movies.protocol import Protocol
from examples.two_tower.model import TwoTower


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How to train; `batch` targets per step, each the others' negative."""

    epochs: int = 4
    batch: int = 1024
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    width: int = 64
    seed: int = 0


def train_towers(protocol: Protocol, config: TrainConfig) -> TwoTower:
    """Train on one thread; the same seed gives the same weights."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return _train(protocol, config)
    finally:
        torch.set_num_threads(threads_before)


def _train(protocol: Protocol, config: TrainConfig) -> TwoTower:
    train, counts = protocol.train, protocol.counts
    rng = np.random.default_rng(config.seed)
    examples = examples_of(train, counts)
    model = TwoTower(len(counts), config.width)
    model.set_item_vectors(spectral(train, counts, config.width))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * -(-len(examples.at) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps)
    for _ in range(config.epochs):
        order = rng.permutation(len(examples.at))
        for at in range(0, len(order), config.batch):
            optimizer.zero_grad(set_to_none=True)
            _loss(model, examples, train.item, order[at : at + config.batch]).backward()
            optimizer.step()
            schedule.step()
    model.eval().requires_grad_(False)
    return model


def _loss(model: TwoTower, examples: Examples, items: NDArray[np.int64], rows: NDArray[np.int64]) -> Tensor:
    length = examples.length[rows]
    history = torch.from_numpy(examples.history[rows, : length.max()])
    target = torch.from_numpy(items[examples.at[rows]])
    user = model.user_vector(history, torch.from_numpy(length))
    logits = user @ model.item_vector(target).T + model.bias(target).T
    # The same movie as another row's target is no negative.
    same = (target[:, None] == target[None, :]) & ~torch.eye(len(rows), dtype=torch.bool)
    return functional.cross_entropy(logits.masked_fill(same, -1e4), torch.arange(len(rows)))
