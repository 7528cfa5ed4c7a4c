"""fp16: what runs in float16 and what does not, masks, and the error, by casting kernels on a CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.half import MASK_MAX, to_half
from export.pipeline import export
from export.runtime import Runner
from export.tracing import ExportFailed
from tests.export_specs import three_heads
from tests.export_specs.cross_encoder import Shape
from tests.unit.export.transformer.cases import case, error

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT
WIDE = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32) / 8


def make(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], columns: int = 64) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", FLOAT, ["N", 64])
    y = helper.make_tensor_value_info("y", FLOAT, ["N", columns])
    entries = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], entries)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    return {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}


def test_products_are_half_and_fragile_operators_are_not() -> None:
    """Softmax between two products computes in float32; ends stay float32; the embedding path is float16."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Softmax", ["a"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["b"]),
        helper.make_node("Relu", ["b"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    made = to_half(make(nodes, {"w": WIDE}))
    types = types_of(made.model)

    assert ("a", "b", "y") == made.products
    assert (HALF, FLOAT, HALF, HALF) == tuple(types[name] for name in ("a", "s", "b", "r"))
    assert [FLOAT] == [value.type.tensor_type.elem_type for value in made.model.graph.output]
    assert [FLOAT] == [value.type.tensor_type.elem_type for value in made.model.graph.input]


def test_the_logit_and_what_follows_stay_float() -> None:
    """A float16 logit would tie candidates: the narrow product and its sigmoid are float32."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "narrow"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["y"]),
    ]
    model = make(nodes, {"w": WIDE, "narrow": WIDE[:, :1]}, columns=1)
    made = to_half(model)

    assert ("a",) == made.products
    assert FLOAT == types_of(made.model)["logit"]
    x = np.random.default_rng(1).normal(size=(500, 64)).astype(np.float32)
    assert 500 == len(np.unique(Runner(made.model).run({"x": x})["y"]))


@pytest.mark.parametrize("mask", [-np.inf, -1e9, np.finfo(np.float32).min])
def test_masks_are_finite(mask: float) -> None:
    """Whatever stands for "never" is brought into float16's range; even a row without any valid place is a
    number."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Where", ["valid", "a", "never"], ["m"]),
        helper.make_node("Softmax", ["m"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["y"]),
    ]
    valid = np.arange(64) < 10
    x = np.random.default_rng(1).normal(size=(5, 64)).astype(np.float32)
    for of, finite in ((valid, True), (np.zeros(64, bool), False)):
        model = make(nodes, {"w": WIDE, "valid": of, "never": np.array(mask, np.float32)})
        made = to_half(model).model
        got = Runner(made).run({"x": x})["y"]
        halves = [numpy_helper.to_array(one) for one in made.graph.initializer if one.data_type == HALF]
        assert np.isfinite(got).all()
        assert max(float(np.abs(one).max()) for one in halves) == MASK_MAX
        if finite:
            assert error(got, Runner(model).run({"x": x})["y"]) < 2e-3


def test_numbers_too_large_for_half_are_not_taken_for_masks() -> None:
    """A feature in seconds, and its division by 86,400, stay float32 until a product has read them."""
    nodes = [
        helper.make_node("Div", ["x", "day"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["a"]),
        helper.make_node("Mul", ["a", "day"], ["b"]),
        helper.make_node("MatMul", ["b", "small"], ["y"]),
    ]
    day = np.array(86_400, np.float32)
    model = make(nodes, {"w": WIDE, "day": day, "small": (WIDE / 1e5).astype(np.float32)})
    made = to_half(model, ["a"]).model
    types = types_of(made)
    x = 86_400 * np.random.default_rng(1).normal(size=(50, 64)).astype(np.float32)
    exact = Runner(model).run({"x": x})["y"]

    assert (FLOAT, HALF, FLOAT) == (types["d"], types["a"], types["b"])
    assert error(Runner(made).run({"x": x})["y"], exact) < 0.01 * exact.std()


def test_control_flow_is_refused_by_name() -> None:
    """Nobody has to guess why there is no fp16."""
    node = helper.make_node("Loop", ["", "", "x"], ["y"])
    with pytest.raises(ExportFailed, match=r"fp16: the graph has control flow \(Loop\)"):
        to_half(make([node], {}))


def test_calibrated_heads_stay_float(tmp_path: Path) -> None:
    """Several heads, some of them calibrated probabilities: from the logit on in float32, and through the
    gates."""
    report = export(three_heads.spec(), tmp_path, ("fp32", "fp16"), source="x:y")
    model = onnx.load(Path(report.path) / "fp16" / "fused.onnx")
    types = types_of(model)
    sigmoids = [node for node in model.graph.node if node.op_type == "Sigmoid"]

    assert sigmoids
    assert {FLOAT} == {types[node.input[0]] for node in sigmoids}
    assert HALF in types.values()
    assert "pass" == next(one.verdict for one in report.gates if (one.gate, one.variant) == ("heads", "fp16"))


@pytest.mark.parametrize("shape", [Shape(), Shape(written_out=True), Shape(pooled=True)])
@pytest.mark.parametrize("rewritten", [True, False])
def test_a_cross_encoder_in_half_scores_nearly_alike(shape: Shape, rewritten: bool) -> None:
    """Traced or rewritten, written-out mask or boolean one: off by under a hundredth of the scores'
    spread."""
    found = case(shape)
    model = found.rewritten.model if rewritten else found.traced
    made = to_half(model)
    exact = found.exact()
    got = Runner(made.model).run(found.feeds)["score"]

    assert 12 <= len(made.products)
    assert 0 < error(got, exact) < 0.02 * exact.std()
    assert made.model.ByteSize() < 0.6 * model.ByteSize()
