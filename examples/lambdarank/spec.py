"""`examples.lambdarank.spec:spec`: the lambdarank ranker, ready to export."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.lambdarank.data import FEATURES, Queries
from examples.lambdarank.linear_prior import LinearPrior
from examples.lambdarank.model import HEAD
from examples.lambdarank.trained import trained
from export.spec import ExampleRequest, ExportSpec, candidate

RESAMPLED = 1_000
RESAMPLED_DOCUMENTS = 15
"""As many as a query of this data has on average."""


def spec() -> ExportSpec:
    """The ranker, trained on the first call of a process.

    The 50 test queries are the labelled requests; they are too few for an agreement gate, so `unlabelled`
    holds 1,000 lists of 15 documents resampled from training and test queries (no labels: they were given for
    other lists). Training queries calibrate.

    Raises:
        FileNotFoundError: the data is not there.
    """
    found = trained()
    train, test = found.data.train, found.data.test
    return ExportSpec(
        name="lambdarank",
        context=found.model.context,
        score=found.model.score,
        inputs=[candidate("features", "float32", FEATURES)],
        heads={HEAD: 1.0},
        requests=[_request(found.prior, features, labels) for features, labels in test],
        unlabelled=_resampled((train, test), found.prior, found.config.seed),
        calibration=[_request(found.prior, features, None) for features, _ in train],
        seed=found.config.seed,
        data={"source": found.data.source},
    )


def _request(
    prior: LinearPrior, features: NDArray[np.float32], labels: NDArray[np.float32] | None
) -> ExampleRequest:
    return ExampleRequest(
        context={}, candidates={"features": features}, prior_scores=prior.score(features), labels=labels
    )


def _resampled(splits: tuple[Queries, ...], prior: LinearPrior, seed: int) -> list[ExampleRequest]:
    rng = np.random.default_rng(seed)
    documents = np.concatenate([queries.features for queries in splits])
    picks = [rng.choice(len(documents), RESAMPLED_DOCUMENTS, replace=False) for _ in range(RESAMPLED)]
    return [_request(prior, documents[pick], None) for pick in picks]
