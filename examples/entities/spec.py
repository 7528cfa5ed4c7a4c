"""`examples.entities.spec:spec`: the entity ranker of fold 0, ready to export."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from examples.entities.model import HEAD
from examples.entities.tokens import LENGTH
from examples.entities.train import Example
from examples.entities.trained import Trained, trained
from export.spec import ExampleRequest, ExportSpec, candidate, prior

RESAMPLED = 950
RESAMPLED_CANDIDATES = 20
CANDIDATES_MAX = 1_600
"""The largest query has 1,506."""


def spec() -> ExportSpec:
    """The ranker of fold 0, trained on the first call of a process."""
    return spec_of(trained())


def spec_of(found: Trained) -> ExportSpec:
    """A trained ranker as a spec.

    The fold's test queries are the labelled requests. They are too few for an agreement gate, so `unlabelled`
    holds lists of 20 candidates resampled from all queries, each of one query. Training queries calibrate.
    """
    return ExportSpec(
        name="entities",
        context=found.model.context,
        score=found.model.score,
        inputs=[
            candidate("tokens", "int64", "S"),
            candidate("kinds", "int64", "S"),
            candidate("tokens_length", "int64"),
            prior("prior", when_absent=0.0),
        ],
        axes={"S": LENGTH},
        lengths={"S": "tokens_length"},
        heads={HEAD: 1.0},
        requests=[_request(one, _all(one), labelled=True) for one in found.test],
        unlabelled=_resampled((*found.train, *found.test), found.config.seed),
        calibration=[_request(one, _all(one), labelled=False) for one in found.train],
        candidates_max=CANDIDATES_MAX,
        budget_ms=250.0,
        seed=found.config.seed,
        data={"source": found.source, "fold": "0"},
    )


def _request(example: Example, rows: NDArray[np.int64], *, labelled: bool) -> ExampleRequest:
    inputs = example.inputs(rows)
    scores = inputs.pop("prior")
    labels = example.grades[rows] if labelled else None
    return ExampleRequest(context={}, candidates=inputs, prior_scores=scores, labels=labels)


def _all(example: Example) -> NDArray[np.int64]:
    return np.arange(len(example.grades))


def _resampled(examples: Sequence[Example], seed: int) -> list[ExampleRequest]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(RESAMPLED):
        one = examples[int(rng.integers(len(examples)))]
        count = min(RESAMPLED_CANDIDATES, len(one.grades))
        rows = np.sort(rng.choice(len(one.grades), count, replace=False))
        made.append(_request(one, rows, labelled=False))
    return made
