"""The movies ranker: attention over what the user watched, then an MLP over what that says of each movie.

`context` and `score` are the two functions that `ExportSpec` wants: everything about the user is in `taste`,
computed once per request. Rule: every op is one that exports with symbolic sizes and quantizes (no BatchNorm,
no boolean indexing); padding is masked with finite numbers, so that a padded history scores as the bare one
does and an empty one is defined.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.movies.features import COLUMNS
from examples.movies.histories import HISTORY_MAX

HEAD = "watch"
_MASKED_LOGIT = -1e4
"""Finite, so that softmax over an empty history is no NaN; far below any real logit."""


class MovieRanker(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here: Any
    """Scores movies for a history of movies.

    Args:
        rows: catalogue rows, the unknown row 0 included.
        width: size of the item embeddings and of the user's taste.
        heads: learned queries that attend to the history.
        hidden: size of the MLP's layers; 128 and more is where int8 pays.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, rows: int, width: int = 64, heads: int = 4, hidden: int = 256) -> None:
        super().__init__()
        self.width = width
        self.item = nn.Embedding(rows, width)
        self.recency = nn.Embedding(HISTORY_MAX, width)
        self.attend = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, heads))
        self.pool = nn.Sequential(nn.Linear(heads * width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.movie = nn.Linear(width + len(COLUMNS) + 1, width)
        self.mlp = nn.Sequential(
            nn.Linear(3 * width, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(inplace=True),
            nn.Linear(hidden // 2, 1),
        )
        self.dense = nn.Linear(len(COLUMNS) + 1, 1)
        self.register_buffer("feature_mean", torch.zeros(len(COLUMNS)))
        self.register_buffer("feature_scale", torch.ones(len(COLUMNS)))
        nn.init.normal_(self.recency.weight, std=0.02)

    def context(self, history: Tensor, history_length: Tensor) -> dict[str, Tensor]:
        """What the history says of the user.

        Args:
            history: int64 [R, L] catalogue rows, most recent last, padded on the right with anything.
            history_length: int64 [R], 0 to L.

        Returns:
            taste: float32 [R, width].
        """
        position = torch.arange(history.shape[1], device=history.device)
        is_real = (position < history_length[:, None]).to(torch.float32)
        age = (history_length[:, None] - 1 - position).clamp(0, HISTORY_MAX - 1)
        watched = self.item(history) + self.recency(age)
        logits = self.attend(watched) + (1.0 - is_real[:, :, None]) * _MASKED_LOGIT
        weight = torch.softmax(logits, dim=1) * is_real[:, :, None]
        pooled = torch.matmul(weight.transpose(1, 2), watched)
        return {"taste": self.pool(pooled.flatten(1))}

    def score(
        self, state: dict[str, Tensor], movie: Tensor, features: Tensor, prior: Tensor
    ) -> dict[str, Tensor]:
        """Score each candidate for its user.

        Args:
            state: taste float32 [N, width], each candidate's own row.
            movie: int64 [N] catalogue rows.
            features: float32 [N, 3], as in `features.COLUMNS`.
            prior: float32 [N], co-occurrence with the history; 0 = none given.

        Returns:
            watch: float32 [N], higher is better; a logit.
        """
        taste = state["taste"]
        # The prior is a sum of cosines, mostly near 0.1 and at times above 5: its logarithm spreads it
        # evenly.
        number = torch.cat(
            [
                (features - self.feature_mean) * self.feature_scale,
                torch.log(prior.clamp(min=0.0) * 20.0 + 1.0)[:, None],
            ],
            dim=1,
        )
        movie_side = self.movie(torch.cat([self.item(movie), number], dim=1))
        mixed = torch.cat([taste, movie_side, taste * movie_side], dim=1)
        return {HEAD: (self.mlp(mixed) + self.dense(number)).squeeze(1)}

    def set_item_vectors(self, vectors: Tensor) -> None:
        """Start the item embeddings at `vectors` [rows, width]."""
        with torch.no_grad():
            self.item.weight.copy_(vectors)

    def set_feature_scale(self, features: Tensor) -> None:
        """Take mean and spread of `features` [M, 3] as the standard ones."""
        self.feature_mean.copy_(features.mean(0))
        self.feature_scale.copy_(1.0 / features.std(0).clamp(min=1e-6))


def listwise_loss(scores: Tensor, positive: int = 0) -> Tensor:
    """Mean softmax cross-entropy of the candidate in column `positive` of scores [B, C]."""
    target = torch.full((scores.shape[0],), positive, dtype=torch.int64)
    return functional.cross_entropy(scores, target)
