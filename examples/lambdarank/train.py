"""Trains DCN-v2 on the training queries, listwise: softmax cross-entropy between gains and scores of a query.

ListNet's top-one loss (Cao et al., ICML 2007) with targets proportional to nDCG's gain 2^grade - 1. Rule:
only training queries are read; the same seed gives the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from examples.lambdarank.data import Queries
from examples.lambdarank.model import HEAD, DeepCrossRanker


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How to train; chosen by 5-fold cross-validation over training queries."""

    epochs: int = 20
    queries_per_step: int = 16
    learning_rate: float = 1e-4
    weight_decay: float = 0.1
    dropout: float = 0.3
    seed: int = 0


def train_ranker(train: Queries, config: TrainConfig) -> DeepCrossRanker:
    """Train a ranker on one thread: 3,000 rows are too few to share."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return _train(train, config)
    finally:
        torch.set_num_threads(threads_before)


def _train(train: Queries, config: TrainConfig) -> DeepCrossRanker:
    rng = np.random.default_rng(config.seed)
    # A query without a relevant document has no best order to learn.
    queries = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in train if y.max() > 0 and len(y) > 1]
    model = DeepCrossRanker(dropout=config.dropout)
    spread = torch.from_numpy(train.features).std(0)
    model.feature_scale.copy_(torch.where(spread > 0, 1.0 / spread.clamp(min=0.05), torch.zeros(())))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * -(-len(queries) // config.queries_per_step)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps)
    model.train()
    for _ in range(config.epochs):
        order = rng.permutation(len(queries)).tolist()
        for at in range(0, len(order), config.queries_per_step):
            part = [queries[row] for row in order[at : at + config.queries_per_step]]
            scores = model.score({}, torch.cat([x for x, _ in part]))[HEAD]
            loss = listwise_loss(scores, [y for _, y in part])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    return model


def listwise_loss(scores: Tensor, labels: list[Tensor]) -> Tensor:
    """Mean over queries of the cross-entropy between normalised gains and softmax(scores).

    Args:
        scores: float32 [sum of N], query after query.
        labels: graded relevance of each query, [N], with at least one above 0.
    """
    losses = []
    for part, grades in zip(scores.split([len(y) for y in labels]), labels, strict=True):
        gain = torch.exp2(grades) - 1.0
        losses.append(-(gain / gain.sum() * torch.log_softmax(part, dim=0)).sum())
    return torch.stack(losses).mean()
