"""Weights beside the graph, and a disk that is too full is said before anything is written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.failure import ExportFailed
from export.runtime import Runner, optimized_op_counts
from export.servable import require_servable
from export.tracing import finish
from export.weights import ALIGNED_TO, WEIGHTS_FILE, require_room, weight_bytes, write

RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 64)).astype(np.float32)


def model() -> onnx.ModelProto:
    """Two products of 64 x 64 and a bias that is too small to be worth a place."""
    constants = [
        numpy_helper.from_array(RNG.normal(size=shape).astype(np.float32), name)
        for name, shape in (("a", (64, 64)), ("bias", (64,)), ("b", (64, 64)))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["xa"]),
        helper.make_node("Add", ["xa", "bias"], ["z"]),
        helper.make_node("MatMul", ["z", "b"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 64]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_small_weights_stay_in_the_graph(tmp_path: Path) -> None:
    """Up to the limit there is one file, the very bytes of the message."""
    made = model()
    write(made, tmp_path / "g.onnx", inline_bytes_max=weight_bytes(made))
    assert ["g.onnx"] == [path.name for path in tmp_path.iterdir()]
    assert made == onnx.load(tmp_path / "g.onnx")


def test_large_weights_lie_beside_the_graph_at_pages(tmp_path: Path) -> None:
    """Over the limit, large tensors go to one file, page by page; read back, the graph is the same."""
    made = model()
    before = made.SerializeToString(deterministic=True)
    write(made, tmp_path / "g.onnx", inline_bytes_max=1000)
    assert before == made.SerializeToString(deterministic=True)
    places = {
        tensor.name: {entry.key: entry.value for entry in tensor.external_data}
        for tensor in onnx.load(tmp_path / "g.onnx", load_external_data=False).graph.initializer
    }
    length = str(64 * 64 * 4)
    first = {"location": WEIGHTS_FILE, "offset": "0", "length": length}
    assert {"a": first, "bias": {}, "b": first | {"offset": length}} == places
    assert 0 == int(length) % ALIGNED_TO
    loaded = onnx.load(tmp_path / "g.onnx")
    for mine, theirs in zip(made.graph.initializer, loaded.graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(mine), numpy_helper.to_array(theirs))


def test_a_large_graph_is_checked_run_and_counted_through_files() -> None:
    """What the gates use takes graphs that are too large for one message, with the same result."""
    made = model()
    finish(made, inline_bytes_max=1000)
    np.testing.assert_array_equal(
        Runner(made).run({"x": X})["y"], Runner(made, inline_bytes_max=1000).run({"x": X})["y"]
    )
    assert optimized_op_counts(made) == optimized_op_counts(made, inline_bytes_max=1000)


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    """The sentence has what is needed and what is free; a folder that does not exist yet is on some disk."""
    with pytest.raises(ExportFailed) as caught:
        require_room(tmp_path / "not" / "yet", 1 << 60, "the bundle")
    sentence = str(caught.value)
    assert sentence.startswith(
        f"not enough disk in {tmp_path}: the bundle needs 1,210,567,579,853,966,592 bytes, "
    )
    assert re.search(r"[0-9]{1,3}(,[0-9]{3})* are free; free some, or write elsewhere", sentence)
    assert [] == list(tmp_path.iterdir())


def test_room_enough_is_no_fault(tmp_path: Path) -> None:
    """A few bytes fit."""
    require_room(tmp_path, 100, "the bundle")


@pytest.mark.parametrize(
    ("kind", "domain", "words"),
    [
        ("Loop", "", "the operator Loop (node 'bad'), which runs a graph of its own"),
        ("RandomUniformLike", "", "draws random numbers"),
        ("Own", "my.ops", "the operator my.ops:Own (node 'bad'), which is not among the allowed operators"),
    ],
)
def test_an_operator_that_servers_refuse_ends_the_export(kind: str, domain: str, words: str) -> None:
    """Export and server read one table: nobody finds out at load."""
    made = model()
    require_servable(made)
    made.graph.node.append(helper.make_node(kind, ["x"], ["e"], name="bad", domain=domain))
    with pytest.raises(ExportFailed) as caught:
        require_servable(made)
    assert words in str(caught.value)
