"""The bundle on disk: complete, true to its manifest, and never half there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from export.bundle import publish, staging
from export.codec import Codec
from export.spec import ExportSpec
from podium.v1 import ranking_pb2 as pb
from protos import manifest as manifests
from protos.manifest import Manifest
from protos.request_set import read_labels, read_messages
from tests.export_specs import tiny
from tests.unit.export.conftest import Exported


@pytest.fixture(scope="module")
def manifest(exported: Exported) -> Manifest:
    return manifests.decode((exported.path / manifests.MANIFEST_FILE).read_bytes())


def test_the_manifest_survives_a_round_trip(manifest: Manifest) -> None:
    """What the server reads is what the exporter wrote."""
    assert manifest == manifests.decode(manifests.encode(manifest))


def test_the_manifest_describes_the_ranker(manifest: Manifest) -> None:
    """Name, version, budget, axes, roles and what a server must know."""
    roles = {entry.name: entry.role for entry in manifest.inputs}

    assert (manifest.model, manifest.version, manifest.budget_ms) == ("tiny", 1, 25.0)
    assert manifest.format.requires == ["vocab"]
    assert manifest.cost_axes == ["R", "N"]
    assert {"R": 64, "N": 4096, "L": 10, "T": 6} == {name: axis.max for name, axis in manifest.axes.items()}
    assert roles == {
        "history": "context",
        "history_length": "context_length",
        "query": "context",
        "query_length": "context_length",
        "item": "candidate_id",
        "features": "candidate",
        "prior": "prior_score",
        "row_to_context": "row_to_context",
    }
    assert manifest.input("history_length").of == "history"
    assert manifest.input("features").columns == ["year", "votes", "mean"]


def test_the_source_names_what_the_bundle_was_made_from(manifest: Manifest) -> None:
    """Spec, seed, data, versions, opset and processor; no folder of the machine it was made on."""
    source = manifest.source

    assert source["spec"] == "tests.export_specs.tiny:spec"
    assert (source["seed"], source["data"], source["opset"]) == (7, {"made": "numpy, seeds 1 to 3"}, 20)
    assert {"torch", "onnx", "onnxruntime", "machine"} <= set(source)
    assert source["int8"]["quantized"] == ["linear_3"]


def test_every_file_is_listed_with_its_hash(exported: Exported, manifest: Manifest) -> None:
    """All files but the manifest itself, each with its size and sha256."""
    written = {
        path.relative_to(exported.path).as_posix(): path.read_bytes()
        for path in exported.path.rglob("*")
        if path.is_file() and path.name != manifests.MANIFEST_FILE
    }

    assert {(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in written.items()} == {
        (entry.path, entry.bytes, entry.sha256) for entry in manifest.files
    }
    assert {"fp32/fused.onnx", "int8/fused.onnx", "report.html", "vocabs/item.npy"} <= set(written)


def test_the_request_set_holds_what_callers_would_send(
    exported: Exported, manifest: Manifest, spec: ExportSpec
) -> None:
    """Caller's ids, unpadded, without a batch axis, without lengths; labels beside them."""
    messages = [
        pb.RankRequest.FromString(data) for data in read_messages(exported.path / manifest.requests.file)
    ]
    labels = read_labels(exported.path / manifest.requests.labels)
    request, sent = spec.requests[4], messages[4]
    tensors = {tensor.name: tensor for tensor in sent.context}

    assert len(messages) == len(labels) == manifest.requests.count == len(spec.requests)
    assert (sent.model, sent.version, sent.request_id) == ("tiny", 0, "eval-4")
    assert set(tensors) == {"history", "query"}
    assert list(tensors["query"].shape) == list(request.context["query"].shape)
    assert request.context["history"].tolist() == np.frombuffer(tensors["history"].data, "<i8").tolist()
    assert request.candidates["item"].tolist() == np.frombuffer(sent.candidates.int_ids, "<i8").tolist()
    assert [("features", [request.count, 3])] == [(c.name, list(c.shape)) for c in sent.candidates.columns]
    assert request.prior_scores is not None
    assert request.prior_scores.tolist() == np.frombuffer(sent.candidates.prior_scores, "<f4").tolist()
    assert request.labels is not None
    assert request.labels.tolist() == labels[4].tolist()


def test_golden_scores_are_those_of_the_written_graphs(
    exported: Exported, manifest: Manifest, spec: ExportSpec, codec: Codec
) -> None:
    """Each golden request run alone through the file gives the stored scores, bit for bit."""
    messages = read_messages(exported.path / manifest.golden.messages)
    counts = [pb.RankRequest.FromString(data).candidates.count for data in messages]
    by_items = {request.candidates["item"].tobytes(): request for request in spec.requests}
    requests = [by_items[pb.RankRequest.FromString(data).candidates.int_ids] for data in messages]
    golden = np.load(exported.path / manifest.golden.file)

    for variant, entry in manifest.variants.items():
        session = ort.InferenceSession(exported.path / entry.graphs["fused"])
        alone = [session.run(["watch"], codec.feeds([codec.encode(one)]))[0] for one in requests]
        assert np.array_equal(golden[f"scores/{variant}"], np.concatenate(alone))
    assert manifest.golden.requests == len(messages) == 16
    every = [request.count for request in spec.requests]
    assert (min(counts), max(counts)) == (min(every), max(every))


def test_the_variants_carry_their_evidence(manifest: Manifest) -> None:
    """Agreement, quality, invariance for each; speed and the fused product for int8."""
    for variant in manifest.variants.values():
        assert variant.agreement is not None
        assert variant.agreement.requests == 1050
        assert variant.quality is not None
        assert variant.quality.metric == "ndcg@10"
        assert variant.batch_invariance is not None
        assert variant.batch_invariance.compositions == 2000
    int8 = manifest.variants["int8"]
    assert set(int8.speedup_over_fp32) == {"R1_N20", "R1_N200", "R8_N1600"}
    assert int8.op_counts["fused"]["MatMulIntegerToFloat"] == 1
    assert manifest.default_variant == ("int8" if int8.worth_serving else "fp32")


def test_the_report_tells_people_and_programs_the_same(exported: Exported, manifest: Manifest) -> None:
    """report.json and report.html hold the version, the verdict and every gate."""
    data = json.loads((exported.path / "report.json").read_text())
    page = (exported.path / "report.html").read_text()

    assert (data["model"], data["version"], data["path"]) == ("tiny", manifest.version, "")
    assert [gate["gate"] for gate in data["gates"]] == [
        "parity",
        "context_once",
        "shapes",
        *("agreement", "quality", "independence", "batch_invariance"),
        *("agreement", "quality", "independence", "batch_invariance", "distance", "speed"),
    ]
    assert "tiny 1: accepted" in page
    assert all(f"<td>{gate['gate']}</td>" in page for gate in data["gates"])
    assert "http" not in page


def test_graphs_of_a_bundle_are_valid(exported: Exported, manifest: Manifest) -> None:
    """Both files pass ONNX's own full check."""
    for variant in manifest.variants.values():
        onnx.checker.check_model(onnx.load(exported.path / variant.graphs["fused"]), full_check=True)


def test_a_failure_midway_leaves_nothing(tmp_path: Path) -> None:
    """An error while a first bundle is being written removes its folder and the model's."""

    def write_half() -> None:
        with staging(tmp_path, "tiny") as folder:
            (folder / "half").write_bytes(b"written")
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError):
        write_half()

    assert [] == list(tmp_path.iterdir())


def test_an_interrupted_rename_leaves_no_version(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the rename itself fails, versions that were there stay, and none is added."""
    (tmp_path / "tiny" / "1").mkdir(parents=True)

    def fail(self: Path, target: Path) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError), staging(tmp_path, "tiny") as folder:
        publish(folder, lambda version: manifest)

    assert ["1"] == [path.name for path in (tmp_path / "tiny").iterdir()]


def test_a_version_taken_meanwhile_is_skipped(tmp_path: Path, manifest: Manifest) -> None:
    """Two exports at once get two versions; the loser seals again under the next number."""
    sealed: list[int] = []

    def seal(version: int) -> Manifest:
        sealed.append(version)
        if version == 1:
            (tmp_path / "tiny" / "1").mkdir()
            (tmp_path / "tiny" / "1" / "bundle.json").touch()
        return manifest

    with staging(tmp_path, "tiny") as folder:
        path, _ = publish(folder, seal)

    assert sealed == [1, 2]
    assert path == tmp_path / "tiny" / "2"
    assert ["1", "2"] == sorted(entry.name for entry in (tmp_path / "tiny").iterdir())


def test_unfinished_folders_do_not_count_as_versions(tmp_path: Path, manifest: Manifest) -> None:
    """What a killed export left behind is hidden, and the next version is still 1."""
    (tmp_path / "tiny" / ".unfinished-x").mkdir(parents=True)

    with staging(tmp_path, "tiny") as folder:
        path, _ = publish(folder, lambda version: manifest)

    assert path.name == "1"


def test_the_tiny_spec_is_the_same_every_time() -> None:
    """Weights and requests are seeded, so that figures of this suite are reproducible."""
    first, second = tiny.model().state_dict(), tiny.model().state_dict()

    assert all((first[name] == second[name]).all() for name in first)
