"""The ONNX Runtime engine: a run can be ended by force, and the next one is not."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from server.core.decisions import Lane, Part, Ticket
from server.domain import Payload
from server.engine.api import Batch, EngineError
from server.engine.layout import Layout
from server.engine.ort import OrtEngine
from server.engine.tensors import Packer
from server.waiter import Waiter
from tests.bundles.tiny import TINY

LAYOUT = Layout.of(TINY.manifest())
NODES = 6000
"""Of 0.5 ms and more each at 300 candidates: seconds in all, unless somebody ends it."""
WIDTH = 256
PROVIDERS = ["CPUExecutionProvider"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> OrtEngine:
    """The tiny ranker plus a long detour that adds nothing."""
    path = TINY.write(tmp_path_factory.mktemp("models"))
    model = onnx.load(path / TINY.manifest().variants["fp32"].graphs["fused"])
    graph = model.graph
    graph.node[-1].output[0] = "plain"
    eye = np.eye(WIDTH, dtype=np.float32)
    graph.initializer.extend(
        [
            numpy_helper.from_array(eye[:3], "into"),
            numpy_helper.from_array(eye, "around"),
            numpy_helper.from_array(np.zeros((), np.float32), "nothing"),
            numpy_helper.from_array(np.array([1], np.int64), "columns"),
        ]
    )
    nodes: list[Any] = [helper.make_node("MatMul", ["features", "into"], ["way0"])]
    nodes += [helper.make_node("MatMul", [f"way{at}", "around"], [f"way{at + 1}"]) for at in range(NODES)]
    nodes += [
        helper.make_node("ReduceSum", [f"way{NODES}", "columns"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "nothing"], ["zeros"]),
        helper.make_node("Add", ["plain", "zeros"], ["score"]),
    ]
    graph.node.extend(nodes)
    onnx.save(model, path / "long.onnx")
    return OrtEngine(path / "long.onnx", LAYOUT, PROVIDERS, 1)


def payload(rows: int) -> Payload:
    rng = np.random.default_rng(0)
    columns = (
        rng.integers(0, 40, rows),
        *(rng.random(shape, np.float32) for shape in ((rows, 3), rows, rows)),
    )
    return Payload((np.zeros(2, np.int64),), columns, rows)


def batch(rows: int) -> Batch:
    return Packer(LAYOUT, 512).pack([payload(rows)])


def test_a_run_is_ended_by_force_and_the_next_one_runs(engine: OrtEngine) -> None:
    """Pulling the brake raises in the run's thread; the brake does not hold on to the run after it."""
    brake = engine.brake()
    puller = threading.Timer(0.2, brake.pull)
    puller.start()
    with pytest.raises(EngineError, match="terminate"):
        engine.run(batch(300), brake)
    puller.join()
    assert (1,) == engine.run(batch(1), brake)["score"].shape


def test_a_brake_without_a_run_stops_nothing(engine: OrtEngine) -> None:
    """What was meant for an earlier run is forgotten."""
    brake = engine.brake()
    brake.pull()
    assert (1,) == engine.run(batch(1), brake)["score"].shape


def test_cpu_time_speaks_for_the_cpu_alone(engine: OrtEngine) -> None:
    """On the CPU provider the calling thread does the work."""
    assert engine.computes_here


def test_parts_score_as_the_whole(engine: OrtEngine, tmp_path: Path) -> None:
    """A request cut into stretches of its rows gets the very scores that it gets in one piece."""
    path = TINY.write(tmp_path)
    plain = OrtEngine(path / TINY.manifest().variants["fp32"].graphs["fused"], LAYOUT, PROVIDERS, 1)
    whole = payload(300)
    waiter = Waiter(Ticket(1, Lane("tiny", 1, "fp32"), 300, 0, 1), whole, lambda _: None)
    packer = Packer(LAYOUT, 512)
    scores = [
        plain.run(packer.pack([waiter.payload_of(Part(waiter.ticket, start, rows, rows))]))["score"].copy()
        for start, rows in ((0, 7), (7, 193), (200, 100))
    ]
    np.testing.assert_array_equal(plain.run(packer.pack([whole]))["score"], np.concatenate(scores))
