"""A multi-task ranker from training to answer: every gate, calibrated chances, a caller's own weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from examples.multitask.spec import spec_of, train_on
from examples.multitask.tasks import LIKE, WATCH
from examples.multitask.train import TrainConfig
from examples.world.simulation import WorldConfig, simulate
from export.codec import Codec
from export.head_calibration import finished, fit
from export.pipeline import export
from export.reference import Reference
from export.report import Report
from export.spec import ExportSpec
from podium.v1 import ranking_pb2 as pb
from protos import manifest as manifests
from protos.request_set import read_messages
from tests.e2e.running import RunningServer
from tests.e2e.streams import DOORS, Asker, knock

WORLD = WorldConfig(listeners=600, items=400, visits_median=12.0)
BRIEF = TrainConfig(epochs=3, batch=128, width=32)


@pytest.fixture(scope="module")
def exported() -> ExportSpec:
    """Tiny weights of a small world; the budget is not what is tested."""
    return replace(spec_of(train_on(simulate(WORLD).dataset, BRIEF)), budget_ms=2000.0)


@pytest.fixture(scope="module")
def report(exported: ExportSpec, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return export(exported, tmp_path_factory.mktemp("multitask"), source="examples.multitask.spec:spec")


@pytest.fixture(scope="module")
def manifest(report: Report) -> manifests.Manifest:
    return manifests.decode((Path(report.path) / manifests.MANIFEST_FILE).read_bytes())


@pytest.fixture(scope="module")
def server(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    models = Path(report.path).parents[1]
    running = RunningServer.start(models, tmp_path_factory.mktemp("log") / "stderr.txt", [])
    try:
        yield running
    finally:
        code = running.stop()
    assert 0 == code


@pytest.fixture(params=DOORS)
def asker(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[Asker]:
    """Each door in turn."""
    with knock(server.target, request.param) as asker:
        yield asker


def test_negatives_sampled_in_training_are_calibrated_away(manifest: manifests.Manifest) -> None:
    """Trained on 1 of 10, served 1 of 100: watch's chances were far too high, and are right after.

    Its intercept is about log of the share that negatives were sampled by.
    """
    watch, like = manifest.outputs
    assert (WATCH, LIKE, "sigmoid", "sigmoid") == (watch.head, like.head, watch.activation, like.activation)
    assert watch.calibration is not None
    assert like.calibration is not None
    assert watch.calibration.error_before > 0.05 > 0.01 > watch.calibration.error_after
    assert -3.5 < watch.calibration.intercept < -1.0


def test_the_report_judges_each_head_by_what_is_known_of_it(report: Report) -> None:
    """watch within requests; like, known of one movie per request, over all of them together."""
    watch, like = report.heads
    assert ("request", "all") == (watch.auc_of, like.auc_of)
    assert watch.candidates == 100 * like.candidates
    assert min(*watch.auc.values(), *like.auc.values()) > 0.55


def test_the_manifest_says_how_it_may_be_served(manifest: manifests.Manifest) -> None:
    """Flat, pointwise, its scores independent of neighbours; costs by contexts and candidates."""
    scoring = manifest.scoring
    assert ("pointwise", "flat", True) == (scoring.kind, scoring.layout, scoring.cacheable)
    assert ["R", "N"] == manifest.cost_axes


def test_answers_are_the_calibrated_chances_of_pytorch(
    report: Report, exported: ExportSpec, manifest: manifests.Manifest, asker: Asker
) -> None:
    """Each head as PyTorch and the curve say, and the sum with a caller's own weights."""
    codec = Codec(exported)
    reference = Reference(finished(exported, fit(exported, codec)), codec)
    messages = list(read_messages(Path(report.path) / manifest.requests.file))[:30]
    for request, data in zip(exported.requests, messages, strict=False):
        message = pb.RankRequest.FromString(data)
        message.variant = "fp32"
        message.head_weights[LIKE] = 0.5
        message.return_heads.extend([WATCH, LIKE])
        ranked = asker.send(message).ranked()
        expected = reference.heads(codec.encode(request))
        got = {head.name: np.frombuffer(head.data, "<f4") for head in ranked.response.heads}
        for head in (WATCH, LIKE):
            np.testing.assert_allclose(got[head], expected[head], rtol=1e-3, atol=1e-5)
            assert ((got[head] > 0) & (got[head] < 1)).all()
        np.testing.assert_allclose(ranked.scores, got[WATCH] + np.float32(0.5) * got[LIKE], rtol=1e-6)


def test_a_caller_s_weights_change_the_order(
    report: Report, manifest: manifests.Manifest, asker: Asker
) -> None:
    """Likes alone rank otherwise than the bundle's sum, by exactly the head that comes back."""
    message = pb.RankRequest.FromString(next(iter(read_messages(Path(report.path) / manifest.requests.file))))
    plain = asker.send(message).ranked()
    message.head_weights.update({WATCH: 0.0, LIKE: 1.0})
    message.return_heads.append(LIKE)
    likes = asker.send(message).ranked()
    assert list(plain.response.order) != list(likes.response.order)
    assert likes.response.heads[0].data == likes.response.scores
