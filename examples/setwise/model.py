"""A set of candidates is ranked as a whole: every candidate attends to all others of its request.

After PRM (Pei et al., "Personalized Re-ranking for Recommendation", RecSys 2019), without its position
embedding: the order in which candidates come must not matter. What a candidate is worth depends on what else
is there, so nothing of it can be kept, and no candidate can be left out of a run without moving the others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.attention import MASKED_LOGIT, age, attend, split_keys, split_queries, valid
from examples.movies.candidate_numbers import WIDTH, Numbers
from examples.movies.histories import HISTORY_MAX
from examples.movies.listwise import HEAD
from export.grid import Grid


class Layer(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here: Any
    """Self-attention over the candidates of a request, then a position-wise network, both residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )

    def forward(self, own: Tensor, grid: Grid, mask: Tensor) -> Tensor:
        """One step; own: float32 [N, width], mask: float32 [R, 1, 1, C]."""
        normed = self.norm(own)
        queries, keys, values = (
            grid.spread(project(normed)) for project in (self.query, self.key, self.value)
        )
        seen = attend(
            split_queries(queries, self.heads),
            split_keys(keys, self.heads),
            split_queries(values, self.heads),
            mask,
        )
        own = own + self.out(grid.collect(seen))
        return own + self.feed(own)


class SetRanker(nn.Module):  # type: ignore[misc]
    """Scores movies by a history of movies and by the other candidates.

    Args:
        rows: catalogue rows, the unknown row 0 included.
        width: of embeddings and attention; heads divide it.
        layers: of self-attention.
    """

    def __init__(self, rows: int, width: int = 64, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.item = nn.Embedding(rows, width)
        self.recency = nn.Embedding(HISTORY_MAX, 1)
        self.numbers = Numbers()
        self.taste = nn.Linear(width, width)
        self.movie = nn.Linear(2 * width + WIDTH, width)
        self.layers = nn.ModuleList([Layer(width, heads) for _ in range(layers)])
        self.logit = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )
        self.dense = nn.Linear(WIDTH, 1)
        nn.init.zeros_(self.recency.weight)

    def context(self, history: Tensor, history_length: Tensor) -> dict[str, Tensor]:
        """The user's taste, float32 [R, width]: a mean of the history by recency.

        Args:
            history: int64 [R, L] catalogue rows, most recent last, padded on the right with anything.
            history_length: int64 [R], 0 to L.
        """
        longest = history.shape[1]
        is_real = valid(history_length, longest)
        weight = torch.exp(self.recency(age(history_length, longest)).squeeze(2)) * is_real
        weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-6)
        mean = torch.matmul(weight[:, None, :], self.item(history)).squeeze(1)
        return {"taste": mean + self.taste(mean)}

    def score(
        self, state: dict[str, Tensor], grid: Grid, movie: Tensor, features: Tensor, prior: Tensor
    ) -> dict[str, Tensor]:
        """Score all candidates of each request together.

        Args:
            state: taste, float32 [R, width].
            grid: where the candidates stand, and who belongs together.
            movie: int64 [N] catalogue rows.
            features: float32 [N, 3]; prior: float32 [N]; see `Numbers`.

        Returns:
            watch: float32 [N], higher is better; a logit.
        """
        number, item = self.numbers(features, prior), self.item(movie)
        liked = item * grid.rows(state["taste"])
        own = item + self.movie(torch.cat([item, liked, number], dim=1))
        mask = ((1.0 - grid.mask.to(torch.float32)) * MASKED_LOGIT)[:, None, None, :]
        for layer in self.layers:
            own = layer(own, grid, mask)
        return {HEAD: (self.logit(own) + self.dense(number)).squeeze(1) + liked.sum(dim=1)}
