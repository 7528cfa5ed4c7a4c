"""A bundle that is not what it says it is does not serve; the version or variant before it does."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from podium.v1 import ranking_pb2 as pb
from protos import manifest as manifests
from tests.bundles.tiny import STRICT, TINY, TinyRanker, seal, write_golden_scores
from tests.e2e.calls import Caller, dial
from tests.e2e.running import RunningServer, Start

NEWER = TinyRanker(version=2)
EXAMPLE = TINY.example(5)


def flip_a_byte(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def reseal(bundle: Path, change: Callable[[manifests.Manifest], object]) -> None:
    """Change the manifest of a bundle whose files may have changed as well; all hashes are right again."""
    manifest = manifests.decode((bundle / manifests.MANIFEST_FILE).read_bytes())
    change(manifest)
    seal(bundle, manifest)


def miss_golden(bundle: Path, ranker: TinyRanker, *missed: str) -> None:
    """Claim golden scores that these variants do not give."""
    golden = [ranker.example(rows, seed) for seed, rows in enumerate((1, 5, 32))]
    scores = {v: np.concatenate([ranker.scores(example, v) for example in golden]) for v in ranker.variants}
    for variant in missed:
        scores[variant][3] += np.float32(0.5)
    write_golden_scores(bundle, scores)
    reseal(bundle, lambda manifest: None)


def states(caller: Caller, model: str = "tiny") -> list[tuple[int, int]]:
    """(version, state) of each known version, newest first."""
    return [(entry.version, entry.state) for entry in caller.models(model)]


Damage = Callable[[Path], object]

DAMAGES: Mapping[str, tuple[Damage, str]] = {
    "graph-a-byte": (lambda b: flip_a_byte(b / "int8/fused.onnx"), "int8/fused.onnx is damaged"),
    "vocab-a-byte": (lambda b: flip_a_byte(b / "vocabs/item.npy"), "vocabs/item.npy is damaged"),
    "requests-a-byte": (
        lambda b: flip_a_byte(b / "requests/eval.podium"),
        "requests/eval.podium is damaged",
    ),
    "graph-truncated": (
        lambda b: (b / "int8/fused.onnx").write_bytes(b"\x08"),
        "int8/fused.onnx has 1 bytes",
    ),
    "graph-missing": (lambda b: (b / "fp32/fused.onnx").unlink(), "fp32/fused.onnx is missing"),
    "golden-missing": (lambda b: (b / "golden.npz").unlink(), "golden.npz is missing"),
    "manifest-missing": (lambda b: (b / "bundle.json").unlink(), "bundle.json cannot be read"),
    "manifest-truncated": (lambda b: (b / "bundle.json").write_text("{"), "bundle.json: "),
    "manifest-no-json": (lambda b: (b / "bundle.json").write_text("# no"), "bundle.json: "),
    "requires-unknown": (
        lambda b: reseal(b, lambda m: m.format.requires.append("telepathy")),
        "format.requires names 'telepathy'",
    ),
    "other-version": (
        lambda b: reseal(b, lambda m: setattr(m, "version", 7)),
        "but the folder is other-version/2",
    ),
    "grid-layout": (
        lambda b: reseal(b, lambda m: setattr(m.scoring, "layout", "grid")),
        "scoring.layout 'grid' needs an input of role 'grid_index'",
    ),
    "no-axis": (lambda b: reseal(b, lambda m: m.axes.pop("L")), "axis 'L' is not in axes"),
    "no-vocab": (
        lambda b: reseal(b, lambda m: setattr(m.inputs[2], "vocab", "films")),
        "there is no vocab 'films'",
    ),
    "unknown-row-outside": (
        lambda b: reseal(b, lambda m: setattr(m.vocabs["item"], "unknown_row", 40)),
        "vocabs.item.unknown_row is 40",
    ),
    "head-without-weight": (
        lambda b: reseal(b, lambda m: m.combine.weights.clear()),
        "combine.weights must name",
    ),
    "no-output": (
        lambda b: reseal(b, lambda m: setattr(m.outputs[0], "name", "rank")),
        "the graph has no output rank",
    ),
    "input-not-described": (
        lambda b: reseal(b, lambda m: m.inputs.pop(5)),
        "the graph's inputs and the manifest's differ in prior",
    ),
    "no-golden": (
        lambda b: [(b / "golden.podium").write_bytes(b""), reseal(b, lambda m: None)],
        "golden.podium holds no golden request",
    ),
    "golden-empty": (
        lambda b: [(b / "golden.npz").write_bytes(b""), reseal(b, lambda m: None)],
        "golden.npz is no NumPy file",
    ),
    "golden-of-one-variant": (
        lambda b: [write_golden_scores(b, {"fp32": np.zeros(38)}), reseal(b, lambda m: None)],
        "golden.npz has no scores of variant 'int8'",
    ),
    "no-graph": (
        lambda b: [
            (b / "int8/fused.onnx").write_bytes(b"\x08"),
            reseal(b, lambda m: m.variants.pop("fp32")),
        ],
        "int8/fused.onnx: its bytes are no protobuf message; export it again",
    ),
    "golden-missed": (
        lambda b: miss_golden(b, TinyRanker(name="golden-missed", version=2), "int8", "fp32"),
        "missed golden request 1",
    ),
}
"""Name of a model -> what is done to its version 2, and what is said about it."""


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server over all damages: every model has a sound version 1 and a damaged version 2."""
    folder = tmp_path_factory.mktemp("damaged")
    for name, (damage, _) in DAMAGES.items():
        TinyRanker(name=name).write(folder / "models")
        damage(TinyRanker(name=name, version=2).write(folder / "models"))
    arguments = ["--set", "engine.warm_up_s_max=0.001"]
    running = RunningServer.start(folder / "models", folder / "stderr.txt", arguments)
    yield running
    assert 0 == running.stop()


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_version_is_refused_and_the_previous_one_serves(damaged: RunningServer, name: str) -> None:
    """ListModels, the log and a metric say that version 2 is refused and why; version 1 answers."""
    ranker, sentence = TinyRanker(name=name), DAMAGES[name][1]
    with dial(damaged.target) as caller:
        ranked = caller.send(ranker.message(EXAMPLE)).ranked()
        newer, older = caller.models(name)
    assert ranker.scores(EXAMPLE).tolist() == ranked.scores.tolist()
    assert (pb.ModelVersion.STATE_REFUSED, pb.ModelVersion.STATE_SERVING) == (newer.state, older.state)
    assert sentence in newer.reason
    assert older.is_default
    logged = [line["reason"] for line in damaged.logs() if line["event"] == "version refused"]
    assert newer.reason in logged
    assert 1.0 == damaged.metrics().total("podium_model_info", model=name, version="2", state="refused")


def test_damaged_versions_do_not_make_a_server_unready(damaged: RunningServer) -> None:
    """Ready means that every model has a serving version, not that every version serves."""
    assert (200, "ready\n") == damaged.get("/readyz")


def test_a_variant_that_misses_its_golden_scores_gives_way_to_the_next(tmp_path: Path, start: Start) -> None:
    """int8 misses on this host: fp32 serves in its place, and ListModels and a metric say why."""
    miss_golden(TINY.write(tmp_path / "models"), TINY, "int8")
    server = start(tmp_path / "models")
    with dial(server.target) as caller:
        ranked = caller.send(TINY.message(EXAMPLE)).ranked()
        (entry,) = caller.models("tiny")
    assert TINY.scores(EXAMPLE, "fp32").tolist() == ranked.scores.tolist()
    assert (["fp32"], "fp32") == (list(entry.variants), entry.default_variant)
    assert "variant 'int8' missed golden request 1: a score is off by 0.5" in entry.reason
    scrape = server.metrics()
    assert 1.0 == scrape.total("podium_model_info", variant="int8", state="refused", refused_by="golden")
    assert 1.0 == scrape.total("podium_model_info", variant="fp32", state="serving", refused_by="")


def test_a_metric_tells_missed_golden_scores_from_other_refusals(damaged: RunningServer) -> None:
    """Of the damaged versions, the one whose scores are off is refused by `golden`, the rest by `other`."""
    scrape = damaged.metrics()
    for name in DAMAGES:
        by = "golden" if name == "golden-missed" else "other"
        assert 1.0 == scrape.total("podium_model_info", model=name, state="refused", refused_by=by), name
        assert 1.0 == scrape.total("podium_model_info", model=name, state="refused"), name


def test_a_folder_that_vanishes_after_loading_is_not_missed(tmp_path: Path, start: Start) -> None:
    """A serving model needs none of its files."""
    TINY.write(tmp_path / "models")
    server = start(tmp_path / "models")
    shutil.rmtree(tmp_path / "models")
    with dial(server.target) as caller:
        for seed in range(5):
            example = TINY.example(100, seed)
            for variant in TINY.variants:
                request = TINY.message(example)
                request.variant = variant
                expected = TINY.scores(example, variant).tolist()
                assert expected == caller.send(request).ranked().scores.tolist()


def test_without_a_serving_version_the_server_is_not_ready(tmp_path: Path, start: Start) -> None:
    """A required model whose only version is refused: /readyz names it; requests are told to go elsewhere."""
    models = tmp_path / "models"
    STRICT.write(models)
    flip_a_byte(TINY.write(models) / "int8/fused.onnx")
    server = start(models)
    assert (503, "no serving version: tiny\n") == server.get("/readyz")
    with dial(server.target) as caller:
        refused = caller.send(TINY.message(EXAMPLE)).refused()
        caller.send(STRICT.message(EXAMPLE)).ranked()
        assert [(1, pb.ModelVersion.STATE_REFUSED)] == states(caller)
    assert ("unready", "MODEL_REFUSED", 0.0) == (refused.kind, refused.reason, refused.retry_after_s)


@pytest.mark.parametrize(
    ("required", "expected"),
    [
        pytest.param('["strict"]', (200, "ready\n"), id="only the sound one"),
        pytest.param('["tiny", "strict"]', (503, "no serving version: tiny\n"), id="the broken one"),
        pytest.param('["other"]', (503, "no serving version: other\n"), id="one that is not there"),
    ],
)
def test_ready_means_the_required_models(
    tmp_path: Path, start: Start, required: str, expected: tuple[int, str]
) -> None:
    """`models.required` decides which models /readyz waits for."""
    models = tmp_path / "models"
    STRICT.write(models)
    flip_a_byte(TINY.write(models) / "int8/fused.onnx")
    assert expected == start(models, "--set", f"models.required={required}").get("/readyz")


def test_pinned_versions_serve_side_by_side(tmp_path: Path, start: Start) -> None:
    """`versions = [1, 2, 5]` serves 1 and 2, the newest by default, and says that 5 is not there."""
    models = tmp_path / "models"
    TINY.write(models)
    NEWER.write(models)
    TinyRanker(version=3).write(models)
    server = start(models, "--set", "models.tiny.versions=[1, 2, 5]")
    with dial(server.target) as caller:
        for version, ranker in ((0, NEWER), (1, TINY), (2, NEWER)):
            request = TINY.message(EXAMPLE)
            request.version = version
            ranked = caller.send(request).ranked()
            assert (ranker.version, ranker.scores(EXAMPLE).tolist()) == (
                ranked.response.version,
                ranked.scores.tolist(),
            )
        serving, refused = pb.ModelVersion.STATE_SERVING, pb.ModelVersion.STATE_REFUSED
        assert [(5, refused), (2, serving), (1, serving)] == states(caller)


def test_what_is_no_version_is_passed_over(tmp_path: Path, start: Start) -> None:
    """Half-written folders, files and odd names beside a version are no versions."""
    models = tmp_path / "models"
    TINY.write(models)
    for name in ("2.partial", "02", "0", "٣", "latest"):
        (models / "tiny" / name).mkdir()
    (models / "tiny" / "9").write_text("a file")
    (models / "Not-A-Name" / "1").mkdir(parents=True)
    server = start(models)
    with dial(server.target) as caller:
        assert [("tiny", 1)] == [(entry.model, entry.version) for entry in caller.models()]


def test_list_models_gives_the_manifest_on_request(server: RunningServer, caller: Caller) -> None:
    """`with_manifest` returns what export wrote: shapes, dtypes and vocabularies for a client to read."""
    (entry,) = caller.models("tiny", with_manifest=True)
    manifest = manifests.decode(entry.manifest_json)
    assert [entry.name for entry in TINY.manifest().inputs] == [entry.name for entry in manifest.inputs]
    assert 2_000_000 == entry.budget_us
    assert b"" == caller.models("tiny")[0].manifest_json
