"""`examples.movies.spec:spec`: the movies ranker, ready to export."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from examples.movies.data import load
from examples.movies.features import COLUMNS
from examples.movies.histories import HISTORY_MAX
from examples.movies.model import HEAD
from examples.movies.requests import of_test, of_training
from examples.movies.trained import Trained, trained
from export.spec import ExportSpec, VocabSpec, candidate, candidate_id, context, prior

LABELLED = 2_000
"""Test requests in the bundle: the gates want 1,000 and more, and these replay in seconds."""
UNLABELLED = 1_000
CALIBRATION = 256


def spec() -> ExportSpec:
    """The ranker of the data found, trained on the first call."""
    return spec_of(trained())


def spec_of(source: Trained) -> ExportSpec:
    """The export specification of one trained ranker."""
    rng = np.random.default_rng(source.config.seed)
    training = of_training(source, CALIBRATION + UNLABELLED, source.config.seed)
    return ExportSpec(
        name="movies",
        context=source.model.context,
        score=source.model.score,
        inputs=[
            context("history", "int64", "L", vocab="movie", length="history_length"),
            candidate_id("movie", vocab="movie"),
            candidate("features", "float32", len(COLUMNS), columns=COLUMNS, non_finite="invalid_candidate"),
            prior("prior", when_absent=0.0),
        ],
        heads={HEAD: 1.0},
        axes={"L": HISTORY_MAX},
        vocabs={"movie": VocabSpec(keys=source.dataset.catalogue.keys)},
        requests=of_test(source, rng.permutation(len(source.protocol.test))[:LABELLED]),
        unlabelled=training[CALIBRATION:],
        calibration=training[:CALIBRATION],
        seed=source.config.seed,
        data={"source": source.dataset.source, "sha256": source.data_sha256},
    )


def titles() -> Mapping[int, str]:
    """Title of every movie (or of every item of the simulated world) by id, for people who read a ranking."""
    catalogue = load().catalogue
    return dict(zip(catalogue.keys[1:].tolist(), catalogue.titles[1:], strict=True))
