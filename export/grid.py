"""Between a flat list of candidates and a grid of requests: what `score` of a grid ranker works with.

Per-candidate layers run on [N, ...], without padding. What mixes candidates with their own request's context,
or with one another, runs on [R, C, ...]: the context is there once per request and is never copied to a
candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from protos.grid import EMPTY, lay_out


@dataclass(frozen=True, slots=True)
class Grid:
    """A batch of R requests with N candidates in all, C at most in one.

    Attributes:
        index: int64 [R, C], which candidate stands there, -1 = none.
        position: int64 [N], where each candidate stands, as r * C + slot.
        row_to_context: int64 [N], the request of each candidate.
    """

    index: Tensor
    position: Tensor
    row_to_context: Tensor

    @staticmethod
    def of_one(count: int) -> Grid:
        """The grid of one request alone: nothing is empty."""
        index, position = lay_out([count])
        return Grid(
            torch.from_numpy(index), torch.from_numpy(position), torch.zeros(count, dtype=torch.int64)
        )

    @property
    def mask(self) -> Tensor:
        """bool [R, C]: True where a candidate stands. Whatever mixes candidates must leave the others out."""
        return self.index != EMPTY

    def spread(self, values: Tensor) -> Tensor:
        """[N, ...] to [R, C, ...]; empty slots repeat the request's own first candidate.

        So a row never holds anything of another request, not even what a mask then multiplies by 0: a
        batch-mate whose numbers overflow stays alone with that.
        """
        own = torch.where(self.mask, self.index, self.index[:, :1])
        flat = torch.index_select(values, 0, own.flatten())
        return flat.unflatten(0, (self.index.shape[0], self.index.shape[1]))

    def collect(self, values: Tensor) -> Tensor:
        """[R, C, ...] to [N, ...]; what stands in empty slots is dropped."""
        return torch.index_select(values.flatten(0, 1), 0, self.position)

    def rows(self, state: Tensor) -> Tensor:
        """[R, ...] to [N, ...]: each candidate's own row, as flat rankers get it. For small states only."""
        return torch.index_select(state, 0, self.row_to_context)
