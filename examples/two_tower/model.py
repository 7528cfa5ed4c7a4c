"""Two towers that meet in a dot product: score = user vector · item vector + the item's bias.

The user's tower runs once per request. The item's tower depends on the item alone, so it is run once for the
whole catalogue after training (`ServedByIds`), and what is served is a table.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.movies.histories import HISTORY_MAX

HEAD = "match"


class TwoTower(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy here: Any
    """The trained form.

    Args:
        rows: catalogue rows, the unknown row 0 included.
        width: size of both towers' vectors.
    """

    def __init__(self, rows: int, width: int = 64) -> None:
        super().__init__()
        self.width = width
        self.item = nn.Embedding(rows, width)
        self.bias = nn.Embedding(rows, 1)
        self.recency = nn.Embedding(HISTORY_MAX, 1)
        self.user_tower = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.item_tower = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.scale = nn.Parameter(torch.tensor(8.0))
        nn.init.zeros_(self.bias.weight)
        nn.init.zeros_(self.recency.weight)

    def user_vector(self, history: Tensor, history_length: Tensor) -> Tensor:
        """Vectors of users, float32 [R, width], of length `scale`.

        Args:
            history: int64 [R, L] catalogue rows, most recent last, padded on the right with anything.
            history_length: int64 [R], 0 to L.
        """
        position = torch.arange(history.shape[1], device=history.device)
        is_real = (position < history_length[:, None]).to(torch.float32)
        age = (history_length[:, None] - 1 - position).clamp(0, HISTORY_MAX - 1)
        weight = torch.exp(self.recency(age).squeeze(2)) * is_real
        weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-6)
        mean = (weight[:, :, None] * self.item(history)).sum(dim=1)
        return self.scale * functional.normalize(mean + self.user_tower(mean), dim=1)

    def item_vector(self, movie: Tensor) -> Tensor:
        """Unit vectors of items, float32 [N, width].

        Args:
            movie: int64 [N] catalogue rows.
        """
        start = self.item(movie)
        return functional.normalize(start + self.item_tower(start), dim=1)

    def set_item_vectors(self, vectors: Tensor) -> None:
        """Start the item embeddings at `vectors` [rows, width]."""
        with torch.no_grad():
            self.item.weight.copy_(vectors)


class ServedByIds(nn.Module):  # type: ignore[misc]
    """The served form that takes ids: the user's tower, and the items' vectors as a table."""

    def __init__(self, trained: TwoTower) -> None:
        super().__init__()
        self.towers = trained
        with torch.no_grad():
            rows = torch.arange(trained.item.num_embeddings)
            self.vector = nn.Embedding.from_pretrained(trained.item_vector(rows))
            self.bias = nn.Embedding.from_pretrained(trained.bias.weight.detach().clone())

    def context(self, history: Tensor, history_length: Tensor) -> dict[str, Tensor]:
        """The user's vector, float32 [R, width]."""
        return {"user": self.towers.user_vector(history, history_length)}

    def score(self, state: dict[str, Tensor], movie: Tensor) -> dict[str, Tensor]:
        """The dot product and the bias, float32 [N].

        Args:
            state: user, float32 [N, width], each candidate's own row.
            movie: int64 [N] catalogue rows.
        """
        return {HEAD: (state["user"] * self.vector(movie)).sum(dim=1) + self.bias(movie).squeeze(1)}


def context_of_vectors(user: Tensor) -> dict[str, Tensor]:
    """The served form that takes vectors: the user's comes as it is, float32 [R, width]."""
    return {"user": user}


def score_of_vectors(state: dict[str, Tensor], vector: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """The dot product and the bias, float32 [N].

    Args:
        state: user, float32 [N, width], each candidate's own row.
        vector: float32 [N, width].
        bias: float32 [N].
    """
    return {HEAD: (state["user"] * vector).sum(dim=1) + bias}
