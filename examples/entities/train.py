"""Trains the cross-encoder from scratch on the training queries of a fold, listwise.

Each step takes some queries with some of their candidates, relevant ones first: a list of 1,500 in which 20
matter would teach little for its time. Rule: only training queries are read; the same seed, the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from examples.entities.bm25 import Bm25
from examples.entities.data import Query
from examples.entities.model import HEAD, CrossEncoder
from examples.entities.tokens import Tokens, tokens_of
from examples.lambdarank.train import listwise_loss


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How to train."""

    epochs: int = 12
    queries_per_step: int = 12
    candidates_max: int = 32
    relevant_max: int = 12
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    dropout: float = 0.2
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """One query as the model sees it: prior float32 [N], grades float32 [N]."""

    tokens: Tokens
    prior: NDArray[np.float32]
    grades: NDArray[np.float32]

    @classmethod
    def of(cls, query: Query, collection: Bm25) -> Example:
        """Tokenise a query and its candidates."""
        tokens = tokens_of(query.text, query.titles, collection)
        return cls(tokens, collection.score(query.text, query.titles), query.grades)

    def inputs(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """What `CrossEncoder.score` takes, of these candidates."""
        tokens = self.tokens
        columns: dict[str, NDArray[Any]] = {
            "tokens": tokens.ids,
            "kinds": tokens.kinds,
            "tokens_length": tokens.length,
        }
        columns["prior"] = self.prior
        return {name: column[rows] for name, column in columns.items()}


def train_ranker(examples: Sequence[Example], config: TrainConfig) -> CrossEncoder:
    """Train on one thread."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return _train([one for one in examples if one.grades.max() > 0], config)
    finally:
        torch.set_num_threads(threads_before)


def _train(examples: Sequence[Example], config: TrainConfig) -> CrossEncoder:
    rng = np.random.default_rng(config.seed)
    model = CrossEncoder(dropout=config.dropout)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * -(-len(examples) // config.queries_per_step)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps)
    model.train()
    for _ in range(config.epochs):
        order = rng.permutation(len(examples)).tolist()
        for at in range(0, len(order), config.queries_per_step):
            part = [examples[row] for row in order[at : at + config.queries_per_step]]
            picks = [_pick(one.grades, config, rng) for one in part]
            loss = listwise_loss(
                score(model, [one.inputs(rows) for one, rows in zip(part, picks, strict=True)]),
                [torch.from_numpy(one.grades[rows]) for one, rows in zip(part, picks, strict=True)],
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.eval()
    return model


def score(model: CrossEncoder, parts: Sequence[dict[str, NDArray[Any]]]) -> torch.Tensor:
    """Scores of several queries' candidates, float32 [sum of N], tokens cut to the longest."""
    feeds = {name: torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in parts[0]}
    longest = int(feeds["tokens_length"].max())
    for name in ("tokens", "kinds"):
        feeds[name] = feeds[name][:, :longest]
    return model.score({}, **feeds)[HEAD]


def _pick(grades: NDArray[np.float32], config: TrainConfig, rng: np.random.Generator) -> NDArray[np.int64]:
    """Candidates of one step: some relevant ones, the rest at random."""
    order = rng.permutation(len(grades))
    relevant = order[grades[order] > 0][: config.relevant_max]
    rest = order[grades[order] == 0][: config.candidates_max - len(relevant)]
    return np.concatenate([relevant, rest]).astype(np.int64)
