"""The export specification of a ranker of the grid kind, trained on the movies protocol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from examples.movies.features import COLUMNS
from examples.movies.histories import HISTORY_MAX
from examples.movies.listwise import HEAD, Trained
from examples.movies.requests import of_test, of_training
from export.spec import ExportSpec, VocabSpec, candidate, candidate_id, context, prior

LABELLED = 2_000
UNLABELLED = 1_000
CALIBRATION = 256
SET_MAX = 500
"""Most candidates that see one another: attention takes 4 bytes per pair and head, 4 MB here."""


def spec_of(source: Trained, name: str) -> ExportSpec:
    """A pointwise grid ranker: history in, movies out."""
    rng = np.random.default_rng(source.config.seed)
    training = of_training(source, CALIBRATION + UNLABELLED, source.config.seed)
    return ExportSpec(
        name=name,
        context=source.model.context,
        score=source.model.score,
        layout="grid",
        inputs=[
            context("history", "int64", "L", vocab="movie", length="history_length"),
            candidate_id("movie", vocab="movie"),
            candidate("features", "float32", len(COLUMNS), columns=COLUMNS),
            prior("prior", when_absent=0.0),
        ],
        heads={HEAD: 1.0},
        axes={"L": HISTORY_MAX},
        vocabs={"movie": VocabSpec(keys=source.dataset.catalogue.keys)},
        requests=of_test(source, rng.permutation(len(source.protocol.test))[:LABELLED]),
        unlabelled=training[CALIBRATION:],
        calibration=training[:CALIBRATION],
        seed=source.config.seed,
        data={"source": source.dataset.source},
    )


def setwise(spec: ExportSpec) -> ExportSpec:
    """The same, of a ranker whose candidates see one another."""
    return replace(spec, kind="setwise", candidates_max=SET_MAX)
