"""Trains the movies ranker: every target against sampled others, listwise.

Rule: one thread. The weights then depend on the seed and the PyTorch build alone, not on how many cores there
are, and training on a busy machine is not slowed by threads that wait for each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from examples.movies.batches import Batch, Batches, Material
from examples.movies.embeddings import spectral
from examples.movies.model import HEAD, MovieRanker, listwise_loss


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How to train.

    Attributes:
        batch: targets per step.
        negatives: drawn anew for every target and epoch.
        prior_absent_share: of targets that see no prior (0), so that the model also ranks without one and
            must read the history itself.
    """

    epochs: int = 3
    batch: int = 512
    negatives: int = 9
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    prior_absent_share: float = 0.3
    seed: int = 0


def train_ranker(material: Material, config: TrainConfig) -> MovieRanker:
    """Train a ranker; the same seed gives the same weights."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return _train(material, config)
    finally:
        torch.set_num_threads(threads_before)


def _train(material: Material, config: TrainConfig) -> MovieRanker:
    rng = np.random.default_rng(config.seed)
    batches = Batches(material, config.negatives, config.prior_absent_share, rng)
    model = MovieRanker(len(material.counts))
    model.set_item_vectors(spectral(material.train, material.counts, model.width))
    model.set_feature_scale(torch.from_numpy(material.features.of(material.train.item)))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * -(-len(batches) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps)
    for _ in range(config.epochs):
        order = rng.permutation(len(batches))
        for at in range(0, len(order), config.batch):
            loss = listwise_loss(_scores(model, batches.batch(order[at : at + config.batch])))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    return model


def _scores(model: MovieRanker, batch: Batch) -> Tensor:
    """Scores [B, C], along the path that a request takes: context once, then its row for each candidate."""
    state = model.context(batch.history, batch.length)
    each = batch.candidates.shape[1]
    gathered = {name: value.repeat_interleave(each, dim=0) for name, value in state.items()}
    scores = model.score(
        gathered, batch.candidates.flatten(), batch.features.flatten(0, 1), batch.prior.flatten()
    )
    return scores[HEAD].view(-1, each)
