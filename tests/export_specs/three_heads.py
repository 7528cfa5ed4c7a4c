"""A small ranker with three heads, two of them far too sure; labels are drawn from the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from export.spec import Array, ExampleRequest, ExportSpec, OutputSpec, candidate, context

SLOPES = {"click": 0.25, "like": 0.5}
"""The truth: the chance is sigmoid(slope * logit + intercept)."""
INTERCEPTS = {"click": -1.0, "like": 0.5}


CALIBRATION = 800


class ThreeHeads(nn.Module):  # type: ignore[misc]
    """A shared layer, then a linear head each; `dwell` is no probability."""

    def __init__(self) -> None:
        super().__init__()
        self.user = nn.Linear(4, 64)
        self.item = nn.Linear(6, 64)
        self.hidden = nn.Linear(64, 64)
        self.heads = nn.Linear(64, 3)

    def context(self, user: Tensor) -> dict[str, Tensor]:
        """[R, 64]."""
        return {"user": self.user(user)}

    def score(self, state: Mapping[str, Tensor], features: Tensor) -> dict[str, Tensor]:
        """Two logits and a duration, [N] each."""
        shared = torch.relu(self.hidden(torch.relu(self.item(features) + state["user"])))
        click, like, dwell = (20.0 * self.heads(shared)).unbind(dim=1)
        return {"click": click, "like": like, "dwell": dwell}


def model() -> ThreeHeads:
    """The same weights every time."""
    torch.manual_seed(11)
    return ThreeHeads().eval().requires_grad_(False)


def requests(count: int, seed: int, *, labelled: bool = True) -> list[ExampleRequest]:
    """Requests of 2 to 30 candidates; what happened is drawn with the true chances, a tenth is not known."""
    rng = np.random.default_rng(seed)
    ranker = model()
    made = []
    for _ in range(count):
        n = int(rng.integers(2, 31))
        user = rng.normal(size=4).astype(np.float32)
        features = rng.normal(size=(n, 6)).astype(np.float32)
        happened: dict[str, Array] = {}
        if labelled:
            state = {"user": ranker.context(torch.from_numpy(user)[None])["user"].expand(n, -1)}
            logits = ranker.score(state, torch.from_numpy(features))
            for head, slope in SLOPES.items():
                chance = 1.0 / (1.0 + np.exp(-(slope * logits[head].numpy() + INTERCEPTS[head])))
                happened[head] = (rng.random(n) < chance).astype(np.float32)
                happened[head][rng.random(n) < 0.1] = np.nan
        made.append(
            ExampleRequest(
                context={"user": user},
                candidates={"features": features},
                labels=np.nan_to_num(happened["click"]) if labelled else None,
                head_labels=happened,
            )
        )
    return made


def spec() -> ExportSpec:
    """The spec of `tests.export_specs.three_heads:spec`."""
    ranker = model()
    return ExportSpec(
        name="three-heads",
        context=ranker.context,
        score=ranker.score,
        inputs=[context("user", "float32", 4), candidate("features", "float32", 6)],
        heads={"click": 1.0, "like": 0.5, "dwell": 0.0},
        outputs={
            "click": OutputSpec(activation="sigmoid", calibrate=True),
            "like": OutputSpec(activation="sigmoid", calibrate=True),
        },
        requests=requests(300, seed=1),
        unlabelled=requests(750, seed=2, labelled=False),
        calibration=requests(CALIBRATION, seed=3),
        budget_ms=2000.0,
        seed=11,
    )
