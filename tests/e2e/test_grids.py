"""Rankers in the grid layout: exported, gated, served; each request scored as PyTorch scores it alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from examples.history import spec as history
from examples.hstu import spec as hstu
from examples.movies.listwise import TrainConfig
from examples.setwise import spec as setwise
from examples.world.simulation import WorldConfig, simulate
from export.codec import Codec
from export.pipeline import export
from export.reference import Reference
from export.report import Report
from export.request_set import message_of
from export.spec import ExampleRequest, ExportSpec
from podium.v1 import ranking_pb2 as pb
from protos import manifest as manifests
from tests.bundles.tiny import seal
from tests.e2e.running import RunningServer
from tests.e2e.streams import DOORS, Asker, knock

WORLD = WorldConfig(listeners=600, items=400, visits_median=12.0)
BRIEF = TrainConfig(epochs=1, batch=256, width=32)
MODULES = {"history": history, "setwise": setwise, "hstu": hstu}
NAMES = tuple(MODULES)
SPLIT, INT8 = "history-split", "history"
CHANCE = sum(1 / np.log2(rank + 1) for rank in range(1, 11)) / 100
"""nDCG@10 of one relevant candidate in a random place among a hundred."""
COUNTS = (1, 100, 7, 64, 2, 33, 100, 18, 5, 90)


@dataclass(frozen=True)
class Served:
    """One architecture: what was exported, and what the export said."""

    spec: ExportSpec
    report: Report

    @property
    def manifest(self) -> manifests.Manifest:
        return manifests.decode((Path(self.report.path) / manifests.MANIFEST_FILE).read_bytes())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Served]:
    """All in one folder, one with int8 as well; the budget is not what is tested."""
    models, dataset = tmp_path_factory.mktemp("models"), simulate(WORLD).dataset
    found = {}
    for name, module in MODULES.items():
        spec = replace(module.spec_of(module.train(dataset, BRIEF)), budget_ms=2000.0)
        variants = ("fp32", "int8") if name == INT8 else ("fp32",)
        found[name] = Served(spec, export(spec, models, variants, source="x:y"))
    split = _splittable(Path(found["history"].report.path))
    report = msgspec.structs.replace(found["history"].report, path=str(split))
    found[SPLIT] = Served(replace(found["history"].spec, name=SPLIT), report)
    return found


def _splittable(path: Path) -> Path:
    """A copy of a pointwise bundle that says its requests may be split, whatever its context costs."""
    copy = path.parents[1] / SPLIT / "1"
    shutil.copytree(path, copy)
    manifest = manifests.decode((copy / manifests.MANIFEST_FILE).read_bytes())
    manifest.model, manifest.scoring.chunkable = SPLIT, True
    seal(copy, manifest)
    return copy


@pytest.fixture(scope="module")
def server(served: Mapping[str, Served], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    models = Path(served[NAMES[0]].report.path).parents[1]
    split = ["--set", "batch.chunk_ms_max=0.1"]
    running = RunningServer.start(models, tmp_path_factory.mktemp("log") / "stderr.txt", split)
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


def cut(request: ExampleRequest, pick: np.ndarray) -> ExampleRequest:
    """The same request with these candidates, in this order."""
    prior = None if request.prior_scores is None else request.prior_scores[pick]
    columns = {name: column[pick] for name, column in request.candidates.items()}
    return replace(request, candidates=columns, prior_scores=prior, labels=None)


def asked(served: Served, seed: int = 0) -> list[ExampleRequest]:
    """Forty requests of unlike sizes."""
    rng = np.random.default_rng(seed)
    requests = served.spec.requests[:40]
    return [
        cut(request, rng.permutation(request.count)[: COUNTS[at % len(COUNTS)]])
        for at, request in enumerate(requests)
    ]


def message(served: Served, request: ExampleRequest, variant: str = "fp32") -> pb.RankRequest:
    made = pb.RankRequest.FromString(message_of(served.spec, request, "r"))
    made.variant = variant
    return made


@pytest.mark.parametrize("name", NAMES)
def test_every_gate_let_it_pass(served: Mapping[str, Served], name: str) -> None:
    """Nothing was refused, and the order is far from chance."""
    report = served[name].report
    assert {"pass"} == {gate.verdict for gate in report.gates if gate.variant == "fp32"}
    assert report.variants[0].quality.value > 2 * CHANCE


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_says_how_it_may_be_served(served: Mapping[str, Served], name: str) -> None:
    """A grid; pointwise, cacheable, splittable where the context is a small part; or setwise and neither."""
    manifest, report = served[name].manifest, served[name].report
    scoring, setwise = manifest.scoring, served[name].spec.kind == "setwise"
    assert ("grid", "setwise" if setwise else "pointwise") == (scoring.layout, scoring.kind)
    assert scoring.cacheable is not setwise
    assert scoring.chunkable is (not setwise and report.context_share < 0.1)
    assert ["R", "N"] == manifest.cost_axes
    assert {"grid_index", "grid_position"} <= {entry.role for entry in manifest.inputs}


@pytest.mark.parametrize("name", NAMES)
def test_requests_of_unlike_sizes_are_scored_as_alone(
    served: Mapping[str, Served], server: RunningServer, asker: Asker, name: str
) -> None:
    """Forty at once, some in one run, through either door: each has PyTorch's scores of it alone."""
    one = served[name]
    requests = asked(one)
    codec = Codec(one.spec)
    reference = Reference(one.spec, codec)
    answers = asker.send_all([message(one, request) for request in requests])
    for request, answer in zip(requests, answers, strict=True):
        (exact,) = reference.heads(codec.encode(request)).values()
        np.testing.assert_allclose(answer.ranked().scores, exact, rtol=1e-4, atol=1e-4)
    metrics = server.metrics()
    runs = metrics.total("podium_batch_requests_count", model=name)
    assert metrics.total("podium_batch_requests_sum", model=name) > runs


@pytest.mark.parametrize(("name", "count", "whole"), [(SPLIT, 1_500, False), ("setwise", 500, True)])
def test_a_setwise_request_is_never_split(
    served: Mapping[str, Served], server: RunningServer, name: str, count: int, whole: bool
) -> None:
    """A long request of a pointwise ranker that may be split is, without a score moving; a set is one run."""
    one = served[name]
    request = cut(one.spec.requests[0], np.arange(count) % one.spec.requests[0].count)
    codec = Codec(one.spec)
    (exact,) = Reference(one.spec, codec).heads(codec.encode(request)).values()
    runs = server.metrics().total("podium_batch_requests_count", model=name)
    with knock(server.target, "unary") as asker:
        answer = asker.send(message(one, request)).ranked()
    np.testing.assert_allclose(answer.scores, exact, rtol=1e-4, atol=1e-4)
    more = server.metrics().total("podium_batch_requests_count", model=name) - runs
    assert whole is (more == 1)


def test_int8_scores_a_batch_as_it_scores_each_alone(
    served: Mapping[str, Served], server: RunningServer
) -> None:
    """Forty at once, and the same one after the other."""
    one = served[INT8]
    messages = [message(one, request, "int8") for request in asked(one, seed=1)]
    with knock(server.target, "stream") as asker:
        together = [answer.ranked().scores for answer in asker.send_all(messages)]
        alone = [asker.send(each).ranked().scores for each in messages]
    spread = float(np.mean([scores.std() for scores in alone if len(scores) > 1]))
    for batch, single in zip(together, alone, strict=True):
        np.testing.assert_allclose(batch, single, rtol=0, atol=0.05 * spread)


def test_a_set_in_another_order_is_the_same_set(served: Mapping[str, Served], server: RunningServer) -> None:
    """Whatever else is asked meanwhile, each candidate keeps its score."""
    one, rng = served["setwise"], np.random.default_rng(2)
    requests = asked(one, seed=2)
    orders = [rng.permutation(request.count) for request in requests]
    again = [cut(request, order) for request, order in zip(requests, orders, strict=True)]
    with knock(server.target, "stream") as asker:
        plain = asker.send_all([message(one, request) for request in requests])
        permuted = asker.send_all([message(one, request) for request in again])
        for before, after, order in zip(plain, permuted, orders, strict=True):
            left, right = before.ranked().scores[order], after.ranked().scores
            np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)
