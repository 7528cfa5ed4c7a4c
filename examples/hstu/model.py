"""A generative recommender's ranker: HSTU layers over the history, candidates appended to it.

After Zhai et al., "Actions Speak Louder than Words" (ICML 2024). A layer makes u, v, q, k of x, as
SiLU(linear(norm(x))), and adds linear(norm(SiLU(q k + bias) v / L) * u): no softmax, so attention is a plain
sum, and a candidate's own part of it is a term of its own. All candidates stand at the place behind the
history; each sees the history and itself, never another candidate. So their scores do not depend on one
another, and the history's keys and values, one pair per layer, are computed once per request.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.attention import merge, split_keys, split_queries, valid
from examples.movies.candidate_numbers import WIDTH, Numbers
from examples.movies.histories import HISTORY_MAX
from examples.movies.listwise import HEAD
from export.grid import Grid


class Layer(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here: Any
    """One HSTU layer: over the history, and for the candidates behind it, with the same weights."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 4 * width)
        self.bias = nn.Embedding(HISTORY_MAX + 1, heads)
        self.seen_norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.bias.weight)

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """u, v, q, k, each in the shape of x [..., width]."""
        return tuple(functional.silu(self.project(self.norm(x))).chunk(4, dim=-1))

    def bias_of(self, distance: Tensor) -> Tensor:
        """Bias of attention by how many steps lie between, int64 [..., L] to float32 [..., heads, L]."""
        return self.bias(distance).transpose(-1, -2)

    def step(self, x: Tensor, gate: Tensor, seen: Tensor) -> Tensor:
        """x plus what was seen, gated; all of them [..., width]."""
        return x + self.out(self.seen_norm(seen) * gate)


class GenerativeRanker(nn.Module):  # type: ignore[misc]
    """Scores movies as what could come next in a history of movies.

    Args:
        rows: catalogue rows, the unknown row 0 included.
        width: of embeddings and layers; heads divide it.
        layers: of HSTU.
    """

    def __init__(self, rows: int, width: int = 64, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.item = nn.Embedding(rows, width)
        self.numbers = Numbers()
        self.movie = nn.Linear(width + WIDTH, width)
        self.layers = nn.ModuleList([Layer(width, heads) for _ in range(layers)])
        self.logit = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )
        self.dense = nn.Linear(WIDTH, 1)

    def context(self, history: Tensor, history_length: Tensor) -> dict[str, Tensor]:
        """Keys and values of the history in every layer, and how a candidate behind it looks at them.

        Args:
            history: int64 [R, L] catalogue rows, most recent last, padded on the right with anything.
            history_length: int64 [R], 0 to L.

        Returns:
            per layer i: keys_i float32 [R, heads, width / heads, L], values_i float32 [R, heads, L, width /
            heads], 0 at the padding, bias_i float32 [R, heads, 1, L].
        """
        longest = history.shape[1]
        is_real = valid(history_length, longest)[:, :, None]
        position = torch.arange(longest, device=history.device)
        apart = (position[:, None] - position).clamp(min=0)
        earlier = torch.tril(torch.ones(longest, longest)) / HISTORY_MAX
        behind = (history_length[:, None] - position).clamp(min=0)
        state: dict[str, Tensor] = {}
        x = self.item(history)
        for at, layer in enumerate(self.layers):
            gate, value, query, key = layer.parts(x)
            keys, values = split_keys(key, layer.heads), split_queries(value * is_real, layer.heads)
            state |= {f"keys_{at}": keys, f"values_{at}": values}
            state[f"bias_{at}"] = layer.bias_of(behind)[:, :, None, :]
            if at + 1 < len(self.layers):  # nobody reads what the last layer makes of the history
                logits = torch.matmul(split_queries(query, layer.heads), keys)
                weight = functional.silu(logits + layer.bias_of(apart).transpose(0, 1)) * earlier
                x = layer.step(x, gate, merge(torch.matmul(weight, values)))
        return state

    def score(
        self, state: dict[str, Tensor], grid: Grid, movie: Tensor, features: Tensor, prior: Tensor
    ) -> dict[str, Tensor]:
        """Score each candidate as the next step of its user's history.

        Args:
            state: as `context` returns it, a row per request.
            grid: where the candidates stand.
            movie: int64 [N] catalogue rows.
            features: float32 [N, 3]; prior: float32 [N]; see `Numbers`.

        Returns:
            watch: float32 [N], higher is better; a logit.
        """
        number, item = self.numbers(features, prior), self.item(movie)
        x = item + self.movie(torch.cat([item, number], dim=1))
        for at, layer in enumerate(self.layers):
            gate, value, query, key = layer.parts(x)
            queries = split_queries(grid.spread(query), layer.heads)
            logits = torch.matmul(queries, state[f"keys_{at}"]) + state[f"bias_{at}"]
            weight = functional.silu(logits) / HISTORY_MAX
            seen = grid.collect(merge(torch.matmul(weight, state[f"values_{at}"])))
            x = layer.step(x, gate, seen + _of_itself(layer, query, key, value))
        return {HEAD: (self.logit(x) + self.dense(number)).squeeze(1)}


def _of_itself(layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What each candidate [N, width] sees of itself, at distance 0."""
    heads = (layer.heads, -1)
    logit = (query * key).unflatten(1, heads).sum(dim=2) + layer.bias.weight[0]
    weight = functional.silu(logit) / HISTORY_MAX
    return (weight[:, :, None] * value.unflatten(1, heads)).flatten(1)
