"""Every variant that an export can make: gated, marked, served by name, and only fp32 and int8 by default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.gates import GateResult
from export.pipeline import export
from export.report import Report
from export.variants import KINDS
from podium.v1 import ranking_pb2 as pb
from protos import manifest as manifests
from protos.request_set import read_messages
from tests.e2e.running import RunningServer
from tests.e2e.streams import DOORS, Asker, knock
from tests.export_specs import cross_encoder, planted, tiny

MADE = {
    "tiny": tuple(KINDS),
    "planted": ("fp32", "int8"),
    "cross_encoder": ("fp32", "int8-weights", "fp16"),
}
HERE = ("fp32", "int8", "int8-weights", "int8-dynamic")
ERROR_OF_STD = {"fp32": 1e-4, "int8": 0.3, "int8-weights": 0.1, "int8-dynamic": 0.3, "fp16": 0.02}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """A ranker with a context, a deep one with a layer that int8 ruins, a transformer."""
    models = tmp_path_factory.mktemp("models")
    specs = (tiny.spec(), planted.dense_spec(), cross_encoder.spec())
    return {
        one.name: export(replace(one, budget_ms=2000.0), models, MADE[one.name], source="x:y")
        for one in specs
    }


@pytest.fixture(scope="module")
def server(reports: dict[str, Report], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    models = Path(reports["tiny"].path).parents[1]
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


def distance_of(gate: GateResult) -> float:
    value = gate.numbers["max_over_std"]
    assert isinstance(value, float)
    return value


def messages_of(report: Report, variant: str) -> list[pb.RankRequest]:
    messages = []
    for data in list(read_messages(Path(report.path) / manifest_of(report).requests.file))[:40]:
        message = pb.RankRequest.FromString(data)
        message.variant = variant
        messages.append(message)
    return messages


@pytest.mark.parametrize("model", ["tiny", "cross_encoder"])
def test_variants_are_marked_in_manifest_and_report(reports: dict[str, Report], model: str) -> None:
    """What has to be said is said wherever the variant is shown, and the default is fp32 or int8."""
    report = reports[model]
    manifest = manifest_of(report)
    page = (Path(report.path) / "report.html").read_text()
    notes = {entry.variant: entry.notes for entry in report.variants}

    assert set(MADE[model]) == set(manifest.variants) == set(notes)
    assert manifest.default_variant in ("fp32", "int8")
    assert ["not run on a GPU"] == manifest.variants["fp16"].notes == notes["fp16"]
    assert ["CUDAExecutionProvider"] == manifest.variants["fp16"].providers
    assert "not run on a GPU." in page


def test_dynamic_int8_is_marked(reports: dict[str, Report]) -> None:
    """In the manifest for programs and in words, in the report, and nothing else is marked so."""
    manifest = manifest_of(reports["tiny"])
    said = {name: one.notes for name, one in manifest.variants.items()}

    assert ["scores depend on batch-mates"] == said["int8-dynamic"]
    assert ["int8-dynamic"] == [name for name, one in manifest.variants.items() if one.depends_on_batch_mates]
    assert "scores depend on batch-mates." in (Path(reports["tiny"].path) / "report.html").read_text()


@pytest.mark.parametrize("model", ["tiny", "planted", "cross_encoder"])
def test_every_variant_passed_the_same_gates(reports: dict[str, Report], model: str) -> None:
    """agreement, quality and batch_invariance of each; the latter warns of int8-dynamic alone."""
    gates = {(gate.gate, gate.variant): gate for gate in reports[model].gates}
    for variant in MADE[model]:
        assert "pass" == gates["agreement", variant].verdict
        assert ("quality", variant) in gates
        assert variant == "fp32" or 0.0 < distance_of(gates["distance", variant]) < ERROR_OF_STD[variant]
        told = "warning" if variant == "int8-dynamic" else "pass"
        assert told == gates["batch_invariance", variant].verdict


def test_the_planted_layer_is_in_report_and_manifest(reports: dict[str, Report]) -> None:
    """Which product, why, how many tries, how long; in JSON, HTML and the manifest's source."""
    report = reports["planted"]
    search = next(entry.search for entry in report.variants if entry.variant == "int8")
    assert search is not None
    assert ("passes", 1) == (search.ended, len(search.excluded))
    ((name, why),) = search.excluded.items()
    assert "lowers Kendall tau by 0." in why
    source = manifest_of(report).source["int8"]
    assert source["search"]["excluded"] == search.excluded
    assert why == source["kept_fp32"][name]
    page = (Path(report.path) / "report.html").read_text()
    assert f"{search.judgements} variants judged in {search.seconds:.1f} s. Left in fp32: {name}." in page


@pytest.mark.parametrize(
    ("model", "variant"), [(model, one) for model, made in MADE.items() for one in made if one in HERE]
)
def test_the_server_serves_it_by_name(
    reports: dict[str, Report], asker: Asker, model: str, variant: str
) -> None:
    """Near fp32's scores, in batches of strangers too, and the answer names the variant."""
    exact = [one.ranked() for one in asker.send_all(messages_of(reports[model], "fp32"))]
    got = [one.ranked() for one in asker.send_all(messages_of(reports[model], variant))]

    std = np.mean([one.scores.std() for one in exact])
    worst = max(float(np.abs(a.scores - b.scores).max()) for a, b in zip(exact, got, strict=True))
    assert worst <= ERROR_OF_STD[variant] * std
    assert {variant} == {one.response.variant for one in got}
    assert variant == "fp32" or worst > 1e-4 * std


def test_fp16_is_not_offered_without_a_gpu(reports: dict[str, Report], asker: Asker) -> None:
    """A CPU would run it by casting, slower than fp32: asked for by name it is refused with the names there
    are."""
    refusal = asker.send_all(messages_of(reports["tiny"], "fp16")[:1])[0].refused()

    assert "fp16" not in refusal.message
    assert all(name in refusal.message for name in HERE)


def test_the_status_says_why(server: RunningServer) -> None:
    """Beside the variants that are served: fp16, and which providers it is for."""
    code, text = server.get("/status.json")

    assert 200 == code
    assert "variant 'fp16' is for 'CUDAExecutionProvider'; engine.providers has CPUExecutionProvider" in text
