"""Trains both tasks at once: watch on every candidate, like on the watched one alone.

Negatives are sampled, ten candidates to a target where a request has a hundred: the logits come out right in
order and wrong in size, which is what the export's calibration is for. Rule: one thread, one seed, one
result; the targets in `held_back` are never trained on, so that a calibration on them is honest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from examples.movies.batches import Examples, Material, Sampler
from examples.movies.embeddings import spectral
from examples.multitask.model import MultiTaskRanker
from examples.multitask.tasks import LIKE, LIKED_FROM, WATCH, rated


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How to train.

    Attributes:
        batch: targets per step.
        negatives: drawn anew for every target and epoch.
        like_weight: of the second task's loss.
    """

    epochs: int = 2
    batch: int = 512
    negatives: int = 9
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    like_weight: float = 0.5
    width: int = 64
    seed: int = 0


def train_ranker(
    material: Material, examples: Examples, held_back: NDArray[np.int64], config: TrainConfig
) -> MultiTaskRanker:
    """Train a ranker on all examples but those at `held_back`; the same seed gives the same weights."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return _train(material, examples, held_back, config)
    finally:
        torch.set_num_threads(threads_before)


def _train(
    material: Material, examples: Examples, held_back: NDArray[np.int64], config: TrainConfig
) -> MultiTaskRanker:
    rng = np.random.default_rng(config.seed)
    model = MultiTaskRanker(len(material.counts), config.width)
    model.set_item_vectors(spectral(material.train, material.counts, config.width))
    model.set_feature_scale(torch.from_numpy(material.features.of(material.train.item)))
    rows = np.setdiff1d(np.arange(len(examples.at)), held_back)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * -(-len(rows) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=steps)
    sampler = Sampler(material.train, material.counts)
    for _ in range(config.epochs):
        order = rng.permutation(rows)
        for at in range(0, len(order), config.batch):
            batch = candidates_of(
                material, examples, order[at : at + config.batch], sampler, config.negatives, rng
            )
            optimizer.zero_grad(set_to_none=True)
            _loss(model, batch, config.like_weight).backward()
            optimizer.step()
            schedule.step()
    model.eval().requires_grad_(False)
    return model


@dataclass(frozen=True, slots=True)
class Candidates:
    """B targets, each with C candidates, the target in column 0.

    Attributes:
        history, history_rating: [B, L]; length: [B].
        candidates: int64 [B, C]; features: float32 [B, C, 3]; prior: float32 [B, C].
        rating: float32 [B], what the target got.
    """

    history: NDArray[np.int64]
    history_rating: NDArray[np.float32]
    length: NDArray[np.int64]
    candidates: NDArray[np.int64]
    features: NDArray[np.float32]
    prior: NDArray[np.float32]
    rating: NDArray[np.float32]


def candidates_of(
    material: Material,
    examples: Examples,
    rows: NDArray[np.int64],
    sampler: Sampler,
    negatives: int,
    rng: np.random.Generator,
) -> Candidates:
    """The examples in `rows` among fresh negatives; what a target's own rating adds is taken out."""
    train, at = material.train, examples.at[rows]
    others = sampler.draw(train.user[at], negatives, rng)
    candidates = np.concatenate([train.item[at][:, None], others], axis=1)
    is_own = np.broadcast_to(np.arange(candidates.shape[1]) == 0, candidates.shape)
    own_rating = np.where(is_own, train.rating[at][:, None], np.float32(np.nan))
    history, length = examples.history[rows], examples.length[rows]
    return Candidates(
        history,
        rated(train, examples.first[rows], at),
        length,
        candidates,
        material.features.of(candidates, own_rating),
        material.prior.score(history, length, candidates, is_own),
        train.rating[at],
    )


def _loss(model: MultiTaskRanker, batch: Candidates, like_weight: float) -> Tensor:
    heads = dict(_heads(model, batch))
    watched = torch.zeros_like(heads[WATCH])
    watched[:, 0] = 1.0
    liked = torch.from_numpy((batch.rating >= LIKED_FROM).astype(np.float32))
    watch = functional.binary_cross_entropy_with_logits(heads[WATCH], watched)
    like = functional.binary_cross_entropy_with_logits(heads[LIKE][:, 0], liked)
    return watch + like_weight * like


def _heads(model: MultiTaskRanker, batch: Candidates) -> Iterator[tuple[str, Tensor]]:
    """Logits [B, C], along the path that a request takes: context once, then its row for each candidate."""
    longest = int(batch.length.max())
    state = model.context(
        torch.from_numpy(batch.history[:, :longest]),
        torch.from_numpy(batch.history_rating[:, :longest]),
        torch.from_numpy(batch.length),
    )
    each = batch.candidates.shape[1]
    scores = model.score(
        {name: value.repeat_interleave(each, dim=0) for name, value in state.items()},
        torch.from_numpy(batch.candidates).flatten(),
        torch.from_numpy(batch.features).flatten(0, 1),
        torch.from_numpy(batch.prior).flatten(),
    )
    for head, values in scores.items():
        yield head, values.view(-1, each)
