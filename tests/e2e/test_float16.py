"""float16 features from export to answer: through every gate, both doors, the clients and the load test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from export.codec import Codec
from export.pipeline import export
from export.reference import Reference, combine
from export.spec import ExportSpec
from podium.cli import main
from podium.client import Client, RankingRequest
from podium.v1 import ranking_pb2 as pb
from protos import manifest as manifests
from protos.request_set import read_messages, write_labels, write_messages
from protos.tensor import to_message
from tests.bundles.tiny import HALVES
from tests.e2e.running import RunningServer
from tests.e2e.streams import DOORS, Asker, knock
from tests.e2e.test_loadtest import PLAIN, Order
from tests.export_specs import tiny

EXAMPLE = HALVES.example(40, seed=3)
PATH = "candidates.columns[features]"


def spec() -> ExportSpec:
    """The small ranker of the export's tests, its features float16."""
    full = tiny.spec()
    inputs = [replace(entry, dtype="float16") if entry.name == "features" else entry for entry in full.inputs]
    return replace(full, name="exported", inputs=inputs, budget_ms=2000.0)


@pytest.fixture(scope="module")
def exported() -> ExportSpec:
    return spec()


@pytest.fixture(scope="module")
def folder(exported: ExportSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models: one by hand, exact to the bit, and one that the export wrote in both precisions."""
    folder = tmp_path_factory.mktemp("float16")
    HALVES.write(folder / "models")
    report = export(exported, folder / "models", source="x:y")
    # Some slices have too few of these requests to decide.
    assert {"pass"} == {gate.verdict for gate in report.gates if gate.gate != "slices"}
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    running = RunningServer.start(folder / "models", folder / "stderr.txt", [])
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


def test_scores_are_those_of_the_same_float16(asker: Asker) -> None:
    """To the bit, alone and in batches: nothing is rounded or cast on the way but by the graph."""
    examples = [HALVES.example(rows, seed) for seed, rows in enumerate([1, 40, 300, 7, 256, 33])]
    for call, example in zip(
        asker.send_all([HALVES.message(example) for example in examples]), examples, strict=True
    ):
        assert HALVES.scores(example).tolist() == call.ranked().scores.tolist()


def test_what_export_wrote_ranks_as_pytorch_does(folder: Path, exported: ExportSpec, asker: Asker) -> None:
    """The bundle's own request set, served: fp32's scores are PyTorch's on the same float16 values.

    int8's are near them; how near is enough its gates have judged.
    """
    codec = Codec(exported)
    reference = Reference(exported, codec)
    bundle = folder / "models/exported/1"
    manifest = manifests.decode((bundle / manifests.MANIFEST_FILE).read_bytes())
    assert "float16" == manifest.input("features").dtype
    messages = list(read_messages(bundle / manifest.requests.file))[:60]
    for request, data in zip(exported.requests, messages, strict=False):
        expected = combine(exported, reference.heads(codec.encode(request)))
        message = pb.RankRequest.FromString(data)
        assert pb.DTYPE_FLOAT16 == message.candidates.columns[0].dtype
        message.variant = "fp32"
        np.testing.assert_allclose(asker.send(message).ranked().scores, expected, rtol=1e-4, atol=1e-4)
        message.variant = "int8"
        int8 = asker.send(message).ranked().scores
        assert np.abs(int8 - expected).max() < 0.05


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_name(asker: Asker, value: float) -> None:
    """Whatever its sign, in a small request and in one that is checked by its bits."""
    for rows in (6, 300):
        example = HALVES.example(rows)
        example.features[rows - 1, 2] = value
        refused = asker.send(HALVES.message(example)).refused()
        assert ("NON_FINITE_INPUT", PATH) == (refused.reason, refused.field)


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_another_dtype_is_refused_by_name(asker: Asker, dtype: Any) -> None:
    """The server casts nothing: a float32 for a float16 would have to be rounded by somebody."""
    message = HALVES.message(EXAMPLE)
    message.candidates.columns[0].CopyFrom(to_message("features", EXAMPLE.features.astype(dtype)))
    refused = asker.send(message).refused()
    name = np.dtype(dtype).name
    assert f"{PATH} has dtype {name}; this model takes float16." == refused.message


def test_the_client_sends_float16(server: RunningServer) -> None:
    """An array of the dtype that the model takes goes out as it is."""
    request = RankingRequest(
        model="halves",
        ids=EXAMPLE.items,
        columns={"features": EXAMPLE.features.astype(np.float16), "price": EXAMPLE.price},
        context={"history": EXAMPLE.history},
        prior_scores=EXAMPLE.prior,
    )
    with Client(server.target) as client:
        ranked = client.rank(request, deadline_s=10.0)
    assert HALVES.scores(EXAMPLE).tolist() == ranked.scores.tolist()


def test_rank_takes_a_request_set_and_a_request_written_by_hand(
    server: RunningServer, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`podium rank` sends both as float16, and shows the same ranking."""
    assert EXAMPLE.prior is not None
    by_hand = tmp_path / "request.json"
    request = {
        "ids": EXAMPLE.items.tolist(),
        "columns": {"features": EXAMPLE.features.tolist(), "price": EXAMPLE.price.tolist()},
        "context": {"history": EXAMPLE.history.tolist()},
        "prior_scores": EXAMPLE.prior.tolist(),
    }
    by_hand.write_bytes(msgspec.json.encode(request))
    by_machine = tmp_path / "eval.podium"
    write_messages(by_machine, [HALVES.message(EXAMPLE).SerializeToString()])
    rankings = []
    for path in (by_hand, by_machine):
        assert 0 == main(["rank", "--target", server.target, "--top", "0", "--json", "halves", str(path)])
        rankings.append(json.loads(capsys.readouterr().out)["ranking"])
    assert rankings[0] == rankings[1]
    assert sorted(HALVES.scores(EXAMPLE).tolist(), reverse=True) == [row["score"] for row in rankings[0]]


@pytest.mark.parametrize("transport", ["http2", "stream"])
def test_the_load_test_sends_and_resizes_float16(
    server: RunningServer, tmp_path: Path, transport: str
) -> None:
    """Requests of other sizes than the set's are whole requests still: all are answered."""
    requests = tmp_path / "eval.podium"
    write_messages(
        requests, [HALVES.message(HALVES.example(12, seed)).SerializeToString() for seed in range(3)]
    )
    write_labels(tmp_path / "labels.npz", [np.eye(1, 12, dtype=np.float32)[0]] * 3)
    mix = 'workload.mix=[{name="all", candidates={dist="values", values=[5, 12, 200]}}]'
    extra = (*PLAIN, "--transport", transport, "--set", mix)
    order = Order(server.target, requests, tmp_path / "out", rate=400.0, duration=1.5, extra=extra)
    code, output, errors = order.run()
    assert (0, "pass") == (code, json.loads(output)["judgement"]["verdict"]), errors
