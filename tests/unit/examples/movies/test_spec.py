"""The movies ranker's export specification: requests as a caller sends them, none in calibration."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.movies.histories import HISTORY_MAX
from examples.movies.model import HEAD
from examples.movies.spec import CALIBRATION, UNLABELLED, spec_of
from examples.movies.train import TrainConfig
from examples.movies.trained import Trained, train_or_read
from examples.ratings import Dataset
from export.spec import ExampleRequest, ExportSpec


@pytest.fixture(scope="module")
def brief(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_or_read(small, TrainConfig(epochs=1, batch=2048), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def spec(brief: Trained) -> ExportSpec:
    return spec_of(brief)


def test_the_counts_are_as_said(brief: Trained, spec: ExportSpec) -> None:
    """Every test request of a small world, UNLABELLED and CALIBRATION others."""
    assert (len(brief.protocol.test), UNLABELLED, CALIBRATION) == (
        len(spec.requests),
        len(spec.unlabelled),
        len(spec.calibration),
    )


def test_labelled_requests_have_one_relevant_candidate_of_100(spec: ExportSpec) -> None:
    """One label is 1, the rest 0."""
    for request in spec.requests:
        assert request.labels is not None
        assert (100, 1.0, 1.0) == (request.count, request.labels.sum(), request.labels.max())


def test_requests_are_what_a_caller_sends(small: Dataset, spec: ExportSpec) -> None:
    """Raw ids, an unpadded history of at most HISTORY_MAX, finite numbers in the dtypes of the inputs."""
    known = set(small.catalogue.keys.tolist())
    for request in [*spec.requests, *spec.unlabelled, *spec.calibration]:
        history, movie, features = (
            request.context["history"],
            request.candidates["movie"],
            request.candidates["features"],
        )
        assert 1 <= len(history) <= HISTORY_MAX
        assert set(history.tolist()) <= known - {0}
        assert set(movie.tolist()) <= known
        assert (np.dtype("int64"), np.dtype("float32")) == (movie.dtype, features.dtype)
        assert request.prior_scores is not None
        assert np.isfinite(features).all()
        assert np.isfinite(request.prior_scores).all()


def test_calibration_holds_no_evaluated_request(spec: ExportSpec) -> None:
    """No calibration request has the history and the candidates of a test or an unlabelled one."""
    evaluated = {_identity(request) for request in [*spec.requests, *spec.unlabelled]}

    assert not evaluated & {_identity(request) for request in spec.calibration}


def test_the_two_functions_take_the_inputs_declared(spec: ExportSpec) -> None:
    """context(**context inputs) and score(state, **candidate inputs) give one finite score per candidate."""
    request = spec.requests[0]
    rows = {int(key): row for row, key in enumerate(spec.vocabs["movie"].keys)}
    history = torch.tensor([[rows[int(key)] for key in request.context["history"]]])
    state = spec.context(history=history, history_length=torch.tensor([history.shape[1]]))
    scores = spec.score(
        {name: value.expand(request.count, -1) for name, value in state.items()},
        movie=torch.tensor([rows[int(key)] for key in request.candidates["movie"]]),
        features=torch.from_numpy(request.candidates["features"]),
        prior=torch.from_numpy(request.prior_scores),
    )

    assert {HEAD} == set(scores) == set(spec.heads)
    assert (request.count,) == scores[HEAD].shape
    assert torch.isfinite(scores[HEAD]).all()


def _identity(request: ExampleRequest) -> tuple[bytes, bytes]:
    return request.context["history"].tobytes(), np.sort(request.candidates["movie"]).tobytes()
