"""Trains any ranker of the grid kind on the movies protocol: a target among sampled others, softmax.

Rule: one thread, one seed, one result. Training takes the path of a request: the context once, then a grid of
its candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples.movies.baselines import CoOccurrence
from examples.movies.batches import Batch, Batches, Material
from examples.movies.embeddings import spectral
from examples.movies.features import Features
from examples.movies.model import listwise_loss
from examples.movies.protocol import Protocol, split
from examples.ratings import Dataset
from export.grid import Grid

HEAD = "watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How to train.

    Attributes:
        batch: targets per step.
        negatives: drawn anew for every target and epoch.
        prior_absent_share: of targets that see no prior, so that the history has to be read.
    """

    epochs: int = 2
    batch: int = 512
    negatives: int = 9
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    prior_absent_share: float = 0.3
    width: int = 64
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained ranker with its data."""

    dataset: Dataset
    protocol: Protocol
    material: Material
    model: Any
    config: TrainConfig


def train_on(dataset: Dataset, config: TrainConfig, make: Any) -> Trained:
    """Train on a data set; the same seed gives the same weights.

    Args:
        make: (catalogue rows, width) -> the untrained module. It has `item` (nn.Embedding), `numbers`
            (`examples.movies.candidate_numbers.Numbers`), `context(history, history_length)` and
            `score(state, grid, movie, features, prior) -> {HEAD: [N]}`.
    """
    protocol = split(dataset)
    material = Material(
        protocol.train,
        protocol.counts,
        CoOccurrence(protocol.train, len(dataset.catalogue)),
        Features(protocol.train, dataset.catalogue),
    )
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = _train(make(len(protocol.counts), config.width), material, config)
    finally:
        torch.set_num_threads(threads_before)
    return Trained(dataset, protocol, material, model, config)


def scores(model: Any, batch: Batch) -> Tensor:
    """Scores [B, C] of B histories with C candidates each."""
    count, each = batch.candidates.shape
    flat = torch.arange(count * each)
    grid = Grid(flat.view(count, each), flat, flat // each)
    state = model.context(batch.history, batch.length)
    found = model.score(
        state, grid, batch.candidates.flatten(), batch.features.flatten(0, 1), batch.prior.flatten()
    )
    return found[HEAD].view(count, each)


def _train(model: Any, material: Material, config: TrainConfig) -> Any:
    rng = np.random.default_rng(config.seed)
    batches = Batches(material, config.negatives, config.prior_absent_share, rng)
    with torch.no_grad():
        model.item.weight.copy_(spectral(material.train, material.counts, config.width))
        model.numbers.fit(torch.from_numpy(material.features.of(material.train.item)))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * -(-len(batches) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps)
    for _ in range(config.epochs):
        order = rng.permutation(len(batches))
        for at in range(0, len(order), config.batch):
            loss = listwise_loss(scores(model, batches.batch(order[at : at + config.batch])))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval().requires_grad_(False)
