"""A small ranker with every kind of input: exports in seconds, and is wide enough for int8 to have work."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from export.spec import (
    ExampleRequest,
    ExportSpec,
    VocabSpec,
    candidate,
    candidate_id,
    context,
    prior,
)

HISTORY_MAX = 10
QUERY_MAX = 6
ITEMS = np.arange(50, dtype=np.int64) * 7 + 3


class Tiny(nn.Module):  # type: ignore[misc]
    """History and query once per request; item, features and prior per candidate."""

    def __init__(self) -> None:
        super().__init__()
        self.item = nn.Embedding(len(ITEMS), 16)
        self.query = nn.Linear(4, 16)
        self.context_side = nn.Linear(32, 64)
        self.candidate_side = nn.Linear(16 + 3 + 1, 64)
        self.hidden = nn.Linear(64, 64)
        self.logit = nn.Linear(64, 1)

    def context(
        self, history: Tensor, history_length: Tensor, query: Tensor, query_length: Tensor
    ) -> dict[str, Tensor]:
        """Mean of the valid positions of both, [R, 64]."""
        watched = _masked_mean(self.item(history), history_length)
        asked = _masked_mean(self.query(query), query_length)
        return {"user": self.context_side(torch.cat([watched, asked], dim=-1))}

    def score(
        self, state: Mapping[str, Tensor], item: Tensor, features: Tensor, prior: Tensor
    ) -> dict[str, Tensor]:
        """One score per candidate, [N]."""
        x = torch.cat([self.item(item), features, prior[:, None]], dim=-1)
        z = torch.relu(self.candidate_side(x) + state["user"])
        return {"watch": self.logit(torch.relu(self.hidden(z))).squeeze(-1)}


def model() -> Tiny:
    """The same weights every time."""
    torch.manual_seed(7)
    return Tiny()


def requests(count: int, seed: int, *, labelled: bool = False) -> list[ExampleRequest]:
    """Random requests of 1 to 30 candidates; some histories are empty."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        n = int(rng.integers(1, 31))
        made.append(
            ExampleRequest(
                context={
                    "history": rng.choice(ITEMS[1:], size=rng.integers(0, HISTORY_MAX + 1)),
                    "query": rng.normal(size=(rng.integers(1, QUERY_MAX + 1), 4)).astype(np.float32),
                },
                candidates={
                    "item": rng.choice(ITEMS[1:], size=n),
                    "features": rng.normal(size=(n, 3)).astype(np.float32),
                },
                prior_scores=rng.normal(size=n).astype(np.float32),
                labels=(rng.random(n) < 0.3).astype(np.float32) if labelled else None,
            )
        )
    return made


def spec() -> ExportSpec:
    """The spec of `tests.export_specs.tiny:spec`."""
    ranker = model()
    return ExportSpec(
        name="tiny",
        context=ranker.context,
        score=ranker.score,
        inputs=[
            context("history", "int64", "L", vocab="item", length="history_length"),
            context("query", "float32", "T", 4, length="query_length"),
            candidate_id("item", vocab="item"),
            candidate("features", "float32", 3, columns=("year", "votes", "mean")),
            prior("prior", when_absent=0.0),
        ],
        axes={"L": HISTORY_MAX, "T": QUERY_MAX},
        heads={"watch": 1.0},
        vocabs={"item": VocabSpec(keys=ITEMS)},
        requests=requests(300, seed=1, labelled=True),
        unlabelled=requests(750, seed=2),
        calibration=requests(60, seed=3),
        seed=7,
        data={"made": "numpy, seeds 1 to 3"},
    )


def spec_with_too_few_requests() -> ExportSpec:
    """A spec that the agreement gate refuses."""
    ranker = model()
    full = spec()
    return ExportSpec(
        name="few",
        context=ranker.context,
        score=ranker.score,
        inputs=full.inputs,
        axes=full.axes,
        heads=full.heads,
        vocabs=full.vocabs,
        requests=full.requests[:20],
        calibration=full.calibration,
    )


def not_a_spec() -> str:
    """What a mistyped address may lead to."""
    return "no spec"


def _masked_mean(values: Tensor, length: Tensor) -> Tensor:
    """Mean over the first `length` positions of [R, L, D]; zeros when there are none."""
    mask = (torch.arange(values.shape[1]) < length[:, None]).float()
    total = (values * mask[:, :, None]).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1.0)
