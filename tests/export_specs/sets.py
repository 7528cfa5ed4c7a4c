"""Small rankers in the grid layout with random weights, sound ones and ones that break a promise each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from export.grid import Grid
from export.spec import ExampleRequest, ExportSpec, candidate, context

WIDTH = 16
USER = 4
FEATURES = 6


class SetRanker(nn.Module):  # type: ignore[misc]
    """One attention over the request's candidates; `masked=False` forgets which slots are empty."""

    def __init__(self, *, masked: bool = True) -> None:
        super().__init__()
        self.user = nn.Linear(USER, WIDTH)
        self.item = nn.Linear(FEATURES, WIDTH)
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.logit = nn.Linear(2 * WIDTH, 1)
        self.masked = masked

    def context(self, user: Tensor) -> dict[str, Tensor]:
        """[R, WIDTH]."""
        return {"user": self.user(user)}

    def score(self, state: Mapping[str, Tensor], grid: Grid, features: Tensor) -> dict[str, Tensor]:
        """Every candidate sees all of its request."""
        own = torch.tanh(self.item(features) + grid.rows(state["user"]))
        others = grid.spread(own)
        logits = torch.matmul(self.query(others), self.key(others).transpose(1, 2))
        if self.masked:
            logits = logits + (grid.mask.float()[:, None, :] - 1.0) * 1e4
        seen = grid.collect(torch.matmul(torch.softmax(logits, dim=-1), others))
        return {"score": self.logit(torch.cat([own, seen], dim=1)).squeeze(1)}


class AskRanker(nn.Module):  # type: ignore[misc]
    """Candidates attend to three vectors of the user; `tiled=True` copies these to every candidate."""

    def __init__(self, *, tiled: bool = False) -> None:
        super().__init__()
        self.steps = nn.Linear(USER, 3 * WIDTH)
        self.item = nn.Linear(FEATURES, WIDTH)
        self.logit = nn.Linear(2 * WIDTH, 1)
        self.tiled = tiled

    def context(self, user: Tensor) -> dict[str, Tensor]:
        """[R, 3, WIDTH]."""
        return {"steps": self.steps(user).unflatten(1, (3, WIDTH))}

    def score(self, state: Mapping[str, Tensor], grid: Grid, features: Tensor) -> dict[str, Tensor]:
        """Every candidate sees its own user."""
        asked = self.item(features)
        steps, queries = state["steps"], grid.spread(asked)
        if self.tiled:
            steps = torch.tanh(grid.rows(steps))
            weight = torch.softmax(torch.matmul(asked[:, None], steps.transpose(1, 2)), dim=-1)
            seen = torch.matmul(weight, steps).squeeze(1)
        else:
            weight = torch.softmax(torch.matmul(queries, steps.transpose(1, 2)), dim=-1)
            seen = grid.collect(torch.matmul(weight, steps))
        return {"score": self.logit(torch.cat([asked, seen], dim=1)).squeeze(1)}


def requests(count: int, seed: int) -> list[ExampleRequest]:
    """Requests of 2 to 30 candidates."""
    rng = np.random.default_rng(seed)
    return [
        ExampleRequest(
            context={"user": rng.normal(size=USER).astype(np.float32)},
            candidates={"features": rng.normal(size=(n, FEATURES)).astype(np.float32)},
        )
        for n in rng.integers(2, 31, count)
    ]


def setwise(*, masked: bool = True) -> ExportSpec:
    """A setwise ranker."""
    return dataclasses.replace(_spec(SetRanker(masked=masked)), kind="setwise")


def pointwise(*, tiled: bool = False) -> ExportSpec:
    """A pointwise one."""
    return _spec(AskRanker(tiled=tiled))


def _spec(ranker: SetRanker | AskRanker) -> ExportSpec:
    generator = torch.Generator().manual_seed(3)
    for weight in ranker.parameters():
        nn.init.normal_(weight, std=0.7, generator=generator)
    ranker.eval().requires_grad_(False)
    return ExportSpec(
        name="sets",
        context=ranker.context,
        score=ranker.score,
        layout="grid",
        inputs=[context("user", "float32", USER), candidate("features", "float32", FEATURES)],
        requests=requests(40, seed=1),
        calibration=requests(20, seed=2),
    )
