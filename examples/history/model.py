"""Target attention, amortised: every candidate asks the history what it has to say about it.

DIN (Zhou et al., KDD 2018) and TransAct (Xia et al., KDD 2023) join the candidate to every step of the
history before anything is computed, so all of it is done once per candidate. Here the history is encoded
alone, into keys and values, once per request; a candidate only asks (Pinterest's DCAT and LinkedIn's
cross-attention rankers do the same). What is left per pair of candidate and step is two multiply-adds a unit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.attention import MASKED_LOGIT, age, attend, split_keys, split_queries, valid
from examples.movies.candidate_numbers import WIDTH, Numbers
from examples.movies.histories import HISTORY_MAX
from examples.movies.listwise import HEAD
from export.grid import Grid


class HistoryRanker(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here: Any
    """Scores movies by a history of movies.

    Args:
        rows: catalogue rows, the unknown row 0 included.
        width: of embeddings, keys and values.
        heads: of the attention; they divide `width`.
        hidden: of the MLP's first layer.
    """

    def __init__(self, rows: int, width: int = 64, heads: int = 4, hidden: int = 256) -> None:
        super().__init__()
        self.heads = heads
        self.item = nn.Embedding(rows, width)
        self.recency = nn.Embedding(HISTORY_MAX, width)
        self.numbers = Numbers()
        self.encode = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.query = nn.Linear(width, width)
        self.movie = nn.Linear(width + WIDTH, width)
        self.mlp = nn.Sequential(
            nn.Linear(3 * width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(),
            nn.Linear(hidden // 2, 1),
        )
        self.dense = nn.Linear(WIDTH, 1)
        nn.init.normal_(self.recency.weight, std=0.02)

    def context(self, history: Tensor, history_length: Tensor) -> dict[str, Tensor]:
        """Keys and values of the history.

        Args:
            history: int64 [R, L] catalogue rows, most recent last, padded on the right with anything.
            history_length: int64 [R], 0 to L.

        Returns:
            keys: float32 [R, heads, width / heads, L]; values: float32 [R, heads, L, width / heads], 0 at the
            padding, so that nothing comes of an empty history; mask: float32 [R, 1, 1, L].
        """
        longest = history.shape[1]
        is_real = valid(history_length, longest)
        step = self.item(history) + self.recency(age(history_length, longest))
        step = step + self.encode(step)
        return {
            "keys": split_keys(self.key(step), self.heads),
            "values": split_queries((step + self.value(step)) * is_real[:, :, None], self.heads),
            "mask": ((1.0 - is_real) * MASKED_LOGIT)[:, None, None, :],
        }

    def score(
        self, state: dict[str, Tensor], grid: Grid, movie: Tensor, features: Tensor, prior: Tensor
    ) -> dict[str, Tensor]:
        """Score each candidate by what its user's history says of it.

        Args:
            state: as `context` returns it, a row per request.
            grid: where the candidates stand.
            movie: int64 [N] catalogue rows.
            features: float32 [N, 3]; prior: float32 [N]; see `Numbers`.

        Returns:
            watch: float32 [N], higher is better; a logit.
        """
        number = self.numbers(features, prior)
        item = self.item(movie)
        asked = item + self.movie(torch.cat([item, number], dim=1))
        queries = split_queries(grid.spread(self.query(asked)), self.heads)
        said = grid.collect(attend(queries, state["keys"], state["values"], state["mask"]))
        mixed = torch.cat([said, asked, said * asked], dim=1)
        return {HEAD: (self.mlp(mixed) + self.dense(number)).squeeze(1)}
