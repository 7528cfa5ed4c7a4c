"""Multi-gate mixture of experts: every task weighs the same experts in its own way.

Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", KDD 2018.
What a gate reads of the user alone is computed once per request, in `context`; the candidate's share is added
in `score`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.movies.features import COLUMNS
from examples.movies.histories import HISTORY_MAX
from examples.multitask.tasks import LIKE, LIKED_FROM, WATCH

TASKS = (WATCH, LIKE)
_MASKED_LOGIT = -1e4
"""Finite: softmax over an empty history is no NaN."""


class MultiTaskRanker(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here: Any
    """Scores movies for a history of rated movies; one logit per task.

    Args:
        rows: catalogue rows, the unknown row 0 included.
        width: size of the item embeddings and of the user's taste.
        experts: how many, each `hidden` wide.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, rows: int, width: int = 64, experts: int = 4, hidden: int = 64) -> None:
        super().__init__()
        self.width, self.experts = width, experts
        self.item = nn.Embedding(rows, width)
        self.recency = nn.Embedding(HISTORY_MAX, width)
        self.opinion = nn.Linear(1, width)
        self.attend = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))
        self.pool = nn.Sequential(nn.Linear(width + 1, width), nn.ReLU(), nn.Linear(width, width))
        self.movie = nn.Linear(width + len(COLUMNS) + 1, width)
        self.expert = nn.Linear(3 * width, experts * hidden)
        self.gate_of_user = nn.Linear(width, len(TASKS) * experts)
        self.gate_of_movie = nn.Linear(width, len(TASKS) * experts)
        self.tower = nn.ModuleDict(
            {task: nn.Sequential(nn.Linear(hidden, 32), nn.ReLU(), nn.Linear(32, 1)) for task in TASKS}
        )
        self.dense = nn.Linear(len(COLUMNS) + 2, len(TASKS))
        self.register_buffer("feature_mean", torch.zeros(len(COLUMNS)))
        self.register_buffer("feature_scale", torch.ones(len(COLUMNS)))
        nn.init.normal_(self.recency.weight, std=0.02)

    def context(self, history: Tensor, history_rating: Tensor, history_length: Tensor) -> dict[str, Tensor]:
        """What the history says of the user.

        Args:
            history: int64 [R, L] catalogue rows, most recent last, padded on the right with anything.
            history_rating: float32 [R, L], 0 to 10, likewise.
            history_length: int64 [R], 0 to L.

        Returns:
            taste: float32 [R, width]; gate: float32 [R, tasks * experts]; mood: float32 [R, 1], the mean
            rating above the threshold of a like.
        """
        position = torch.arange(history.shape[1], device=history.device)
        is_real = (position < history_length[:, None]).to(torch.float32)
        age = (history_length[:, None] - 1 - position).clamp(0, HISTORY_MAX - 1)
        opinion = (history_rating - LIKED_FROM) * is_real
        watched = self.item(history) + self.recency(age) + self.opinion(opinion[:, :, None])
        logits = self.attend(watched) + (1.0 - is_real[:, :, None]) * _MASKED_LOGIT
        weight = torch.softmax(logits, dim=1) * is_real[:, :, None]
        mood = opinion.sum(dim=1, keepdim=True) / is_real.sum(dim=1, keepdim=True).clamp(min=1.0)
        taste = self.pool(torch.cat([(weight * watched).sum(dim=1), mood], dim=1))
        return {"taste": taste, "gate": self.gate_of_user(taste), "mood": mood}

    def score(
        self, state: dict[str, Tensor], movie: Tensor, features: Tensor, prior: Tensor
    ) -> dict[str, Tensor]:
        """Score each candidate for its user.

        Args:
            state: of `context`, each candidate's own row.
            movie: int64 [N] catalogue rows.
            features: float32 [N, 3], as in `examples.movies.features.COLUMNS`.
            prior: float32 [N], co-occurrence with the history; 0 = none given.

        Returns:
            watch, like: float32 [N] logits; like, given that it is watched.
        """
        taste, mood = state["taste"], state["mood"]
        number = torch.cat(
            [
                (features - self.feature_mean) * self.feature_scale,
                torch.log(prior.clamp(min=0.0) * 20.0 + 1.0)[:, None],
            ],
            dim=1,
        )
        movie_side = self.movie(torch.cat([self.item(movie), number], dim=1))
        mixed = torch.cat([taste, movie_side, taste * movie_side], dim=1)
        experts = torch.relu(self.expert(mixed)).unflatten(1, (self.experts, -1))
        gates = (state["gate"] + self.gate_of_movie(movie_side)).unflatten(1, (len(TASKS), self.experts))
        chosen = torch.matmul(torch.softmax(gates, dim=2), experts)
        dense = self.dense(torch.cat([number, mood], dim=1))
        return {
            task: self.tower[task](chosen[:, at]).squeeze(1) + dense[:, at] for at, task in enumerate(TASKS)
        }

    def set_item_vectors(self, vectors: Tensor) -> None:
        """Start the item embeddings at `vectors` [rows, width]."""
        with torch.no_grad():
            self.item.weight.copy_(vectors)

    def set_feature_scale(self, features: Tensor) -> None:
        """Take mean and spread of `features` [M, 3] as the standard ones."""
        self.feature_mean.copy_(features.mean(0))
        self.feature_scale.copy_(1.0 / features.std(0).clamp(min=1e-6))
