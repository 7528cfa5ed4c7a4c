"""A two-tower in both forms, ids and vectors: exported, gated, served, and one ranking from both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from examples.two_tower.spec import Trained, ids_of, train_on, vectors_of
from examples.two_tower.train import TrainConfig
from examples.world.simulation import WorldConfig, simulate
from export.pipeline import export
from export.report import Report
from podium.client import Client, Flag, RankingRequest
from podium.v1 import ranking_pb2 as pb
from protos import manifest as manifests
from protos.request_set import read_messages
from tests.e2e.running import RunningServer
from tests.e2e.streams import DOORS, Asker, knock

WORLD = WorldConfig(listeners=600, items=400, visits_median=12.0)
BRIEF = TrainConfig(epochs=2, batch=256, width=32)
FORMS = ("two-tower-ids", "two-tower-vectors")


@pytest.fixture(scope="module")
def source() -> Trained:
    return train_on(simulate(WORLD).dataset, BRIEF)


@pytest.fixture(scope="module")
def reports(source: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """Both forms in one folder; the budget is not what is tested."""
    models = tmp_path_factory.mktemp("models")
    found = {}
    for spec, variants in ((ids_of(source), ("fp32", "int8")), (vectors_of(source), ("fp32",))):
        found[spec.name] = export(replace(spec, budget_ms=2000.0), models, variants, source="x:y")
    return found


@pytest.fixture(scope="module")
def server(reports: dict[str, Report], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    models = Path(reports[FORMS[0]].path).parents[1]
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


def manifest_of(report: Report) -> manifests.Manifest:
    return manifests.decode((Path(report.path) / manifests.MANIFEST_FILE).read_bytes())


def messages_of(report: Report) -> list[pb.RankRequest]:
    """The bundle's own request set, for fp32."""
    messages = []
    for data in read_messages(Path(report.path) / manifest_of(report).requests.file):
        message = pb.RankRequest.FromString(data)
        message.variant = "fp32"
        messages.append(message)
    return messages


@pytest.mark.parametrize("form", FORMS)
def test_every_gate_let_both_forms_pass(reports: dict[str, Report], form: str) -> None:
    """Nothing was refused, and the order is better than the one that requests came in."""
    report = reports[form]
    assert {"pass"} == {gate.verdict for gate in report.gates if gate.variant == "fp32"}
    assert report.prior_ndcg is not None
    assert report.variants[0].quality.value > report.prior_ndcg + 0.02


@pytest.mark.parametrize("form", FORMS)
def test_the_manifest_says_how_it_may_be_served(reports: dict[str, Report], form: str) -> None:
    """Flat, pointwise, cacheable; splittable where the context was measured as a small part of a run."""
    manifest, report = manifest_of(reports[form]), reports[form]
    scoring = manifest.scoring
    assert ("pointwise", "flat", True) == (scoring.kind, scoring.layout, scoring.cacheable)
    assert scoring.chunkable is (report.context_share < 0.1)
    assert ["R", "N"] == manifest.cost_axes
    if form == "two-tower-vectors":
        assert (0.0, True) == (report.context_share, scoring.chunkable)
        assert {} == manifest.vocabs


def test_ids_and_vectors_rank_alike(reports: dict[str, Report], asker: Asker) -> None:
    """The same users and movies, once by id and once by vector: the same scores, in batches too."""
    by_ids, by_vectors = (messages_of(reports[form])[:40] for form in FORMS)
    answers = [asker.send_all(messages) for messages in (by_ids, by_vectors)]
    for left, right in zip(*answers, strict=True):
        np.testing.assert_allclose(left.ranked().scores, right.ranked().scores, rtol=1e-4, atol=1e-5)


def test_a_user_without_a_history_and_an_unknown_movie_are_ranked(
    source: Trained, server: RunningServer
) -> None:
    """The empty history is defined, the unknown id takes the unknown row and is flagged."""
    keys = source.dataset.catalogue.keys
    request = RankingRequest(
        model="two-tower-ids",
        variant="fp32",
        ids=np.array([keys[1], 999_999_999, keys[2]]),
        context={"history": np.zeros(0, np.int64)},
    )
    with Client(server.target) as client:
        ranked = client.rank(request, deadline_s=10.0)
    assert np.isfinite(ranked.scores).all()
    assert [0, Flag.ID_UNKNOWN, 0] == ranked.flags.tolist()


def test_vectors_of_items_that_the_bundle_never_saw_are_ranked(server: RunningServer) -> None:
    """score = user · vector + bias, whatever the vectors: computed here by numpy."""
    rng = np.random.default_rng(5)
    user = rng.normal(size=BRIEF.width).astype(np.float32)
    vector = rng.normal(size=(50, BRIEF.width)).astype(np.float32)
    bias = rng.normal(size=50).astype(np.float32)
    with Client(server.target) as client:
        ranked = client.rank(
            RankingRequest(
                model="two-tower-vectors", columns={"vector": vector, "bias": bias}, context={"user": user}
            ),
            deadline_s=10.0,
        )
    expected = vector @ user + bias
    np.testing.assert_allclose(expected, ranked.scores, rtol=1e-4, atol=1e-4)
    assert int(np.argmax(expected)) == ranked.order[0]
