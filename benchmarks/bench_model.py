"""The model that the benchmarks serve: a DCN-v2 over 136 features, an item id and a 50-item history.

Weights are random but fixed: what is measured is the server, whose cost does not depend on them.
The size, three full-rank cross layers over 200 inputs beside a 768-256 tower, was chosen so that raw ONNX
Runtime gives the design's orientation figures at the sizes that have bars (4,400 and 926 requests/s, 100 and
500 candidates) on machine class A of docs/measuring.md: the bars were written for that much computing.
Figures for the smaller towers that were tried first stand in docs/decisions.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.bench_sizes import FEATURES, HISTORY, ITEMS
from export.spec import ExampleRequest, ExportSpec, VocabSpec, candidate, candidate_id, context

WIDTH = 32


class DcnV2(nn.Module):
    """Context: attention-pooled history [R, 32]. Score: cross network and tower over [N, 200]."""

    def __init__(self) -> None:
        super().__init__()
        inputs = FEATURES + 2 * WIDTH
        self.items = nn.Embedding(ITEMS, WIDTH)
        self.query = nn.Parameter(torch.randn(WIDTH) * 0.3)
        self.keys = nn.Linear(WIDTH, WIDTH)
        self.values = nn.Linear(WIDTH, WIDTH)
        self.cross = nn.ModuleList(nn.Linear(inputs, inputs) for _ in range(3))
        self.wide = nn.Linear(inputs, 768)
        self.narrow = nn.Linear(768, 256)
        self.out = nn.Linear(256 + inputs, 1)

    def context(self, history: Tensor, history_length: Tensor) -> Mapping[str, Tensor]:
        items = self.items(history)
        weight = torch.tanh(self.keys(items)) @ self.query
        valid = torch.arange(history.shape[1])[None, :] < history_length[:, None]
        weight = torch.softmax(torch.where(valid, weight, torch.full_like(weight, -1e4)), -1) * valid
        return {"user": (weight[:, :, None] * self.values(items)).sum(1)}

    def score(self, state: Mapping[str, Tensor], item: Tensor, features: Tensor) -> Mapping[str, Tensor]:
        first = torch.cat([self.items(item), features, state["user"]], -1)
        crossed = first
        for layer in self.cross:
            crossed = first * layer(crossed) + crossed
        deep = functional.relu(self.narrow(functional.relu(self.wide(first))))
        return {"score": self.out(torch.cat([deep, crossed], -1)).squeeze(-1)}


def request(generator: np.random.Generator, candidates: int) -> ExampleRequest:
    """A random request of `candidates` candidates, as a caller would send it."""
    return ExampleRequest(
        context={"history": generator.integers(1, ITEMS, int(generator.integers(1, HISTORY + 1)))},
        candidates={
            "item": generator.integers(1, ITEMS, candidates),
            "features": generator.standard_normal((candidates, FEATURES), dtype=np.float32),
        },
        prior_scores=generator.random(candidates, dtype=np.float32),
        labels=(generator.random(candidates) < 0.1).astype(np.float32),
    )


def spec() -> ExportSpec:
    """The benchmark's bundle."""
    torch.manual_seed(0)
    model = DcnV2().eval()
    generator = np.random.default_rng(0)
    return ExportSpec(
        name="bench",
        context=model.context,
        score=model.score,
        inputs=[
            context("history", "int64", "L", vocab="item", length="history_length"),
            candidate_id("item", vocab="item"),
            candidate("features", "float32", FEATURES),
        ],
        axes={"L": HISTORY},
        vocabs={"item": VocabSpec(keys=np.arange(ITEMS, dtype=np.int64))},
        requests=[request(generator, 100) for _ in range(200)],
        unlabelled=[request(generator, 40) for _ in range(800)],
        calibration=[request(generator, 100) for _ in range(100)],
        budget_ms=25.0,
        data={"source": "random numbers, seed 0"},
    )
