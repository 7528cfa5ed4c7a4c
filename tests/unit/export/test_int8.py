"""Static int8: which products, with what ranges, and what is a bad bargain."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.bargains import bad_bargains
from export.calibrate import Quantization, calibrate, choose, to_uint8_parameters
from export.gates import agreement, batch_invariance
from export.gates.evidence import Evidence
from export.int8 import build
from export.quantize import OPERATOR, to_int8
from export.runtime import Runner, optimized_op_counts
from export.sites import Site, find_sites


def test_products_with_constant_weights_are_found(graph: onnx.ModelProto) -> None:
    """All five linear layers of the tiny ranker, 3-d ones included; only two are large enough to pay."""
    sites = find_sites(graph)

    assert [(4, 16), (32, 64), (20, 64), (64, 64), (64, 1)] == [site.weight.shape for site in sites]
    assert [False, False, False, True, False] == [site.pays for site in sites]


def test_the_product_of_two_activations_is_no_site() -> None:
    """Attention's q @ k is never quantised."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64, 64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 64, 64])
    node = helper.make_node("MatMul", ["x", "x"], ["y"])

    assert [] == find_sites(helper.make_model(helper.make_graph([node], "qk", [x], [y])))


@pytest.mark.parametrize("axes", [["N", 64], ["N", 5, 64]])
def test_a_quantised_linear_layer_is_close_to_the_exact_one(axes: list[int | str]) -> None:
    """MatMul + Add over two or three axes becomes one int8 product, off by about a step of 1/255."""
    model = linear_layer(axes)
    (site,) = find_sites(model)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=[7 if axis == "N" else axis for axis in axes]).astype(np.float32)
    quantized = to_int8(model, [site], {site.name: Quantization(*to_uint8_parameters(-1.0, 1.0))})

    exact = Runner(model).run({"x": x})["y"]
    got = Runner(quantized).run({"x": x})["y"]

    assert {"QuantizeLinear", OPERATOR} == {node.op_type for node in quantized.graph.node}
    assert 0 < np.abs(got - exact).max() < 0.05 * exact.std()


def test_the_range_of_an_activation_contains_zero() -> None:
    """Zero, which padding is made of, is stored exactly."""
    assert to_uint8_parameters(1.0, 255.0) == (1.0, 0)
    assert to_uint8_parameters(-255.0, -1.0) == (1.0, 255)
    assert to_uint8_parameters(0.0, 0.0) == (1.0, 0)


def test_columns_of_unlike_magnitude_are_levelled() -> None:
    """With one column a thousand times larger a common step erases the others; alike columns stay as is."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 64)).astype(np.float32)
    weight = rng.normal(size=(64, 64)).astype(np.float32)
    large = np.ones(64, np.float32)
    large[0] = 1000.0
    unlike = Site("y", "x", weight / large[:, None], None, (0,))
    alike = Site("y", "x", weight, None, (0,))

    assert choose(unlike, x * large, extremes(x * large)).smoothing is not None
    assert choose(alike, x, extremes(x)).smoothing is None


def test_calibration_sees_every_request(graph: onnx.ModelProto, evidence: Evidence) -> None:
    """The range covers the largest activation of the whole set, also in its last batch."""
    site = next(site for site in find_sites(graph) if site.pays)
    small, large = evidence.requests[:50], evidence.requests[50:60]
    stretched = [
        type(one)(one.context, {**one.candidates, "prior": one.candidates["prior"] * 100}) for one in large
    ]

    narrow = calibrate(graph, [site], evidence.codec, small)[site.name]
    wide = calibrate(graph, [site], evidence.codec, [*small, *stretched])[site.name]

    assert wide.scale > 5 * narrow.scale


def test_the_built_variant_runs_in_int8_and_ranks_alike(graph: onnx.ModelProto, evidence: Evidence) -> None:
    """What ONNX Runtime runs after its own optimisations holds one int8 product per quantised site."""
    int8 = build(graph, evidence, evidence.requests[:60])
    subject = int8.subject

    assert optimized_op_counts(int8.model)[OPERATOR] == len(int8.quantized) == 1
    assert int8.kept_fp32["linear_4"] == "64x1 is narrower than 32"
    assert agreement.check(evidence, subject)[0].verdict == "pass"
    assert batch_invariance.check(evidence, subject, compositions=300)[0].verdict == "pass"


def test_a_product_with_much_loss_and_little_work_is_a_bad_bargain() -> None:
    """Half the loss for a hundredth of the multiplications; the other half for the rest is none."""
    small, large = make_site("small"), make_site("large", width=640)

    reasons = bad_bargains([small, large], {"small": 0.005, "large": 0.005})

    assert reasons == {"small": "50% of the disagreement for 1% of the multiplications"}


def test_a_negligible_loss_is_no_bargain_to_look_at() -> None:
    """Products whose loss together is negligible are all quantised."""
    assert {} == bad_bargains([make_site("a"), make_site("b", width=640)], {"a": 0.0005, "b": 0.0005})


def make_site(name: str, width: int = 64) -> Site:
    return Site(name, "x", np.ones((width, width), np.float32), None, (0,))


def extremes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.min(axis=0), x.max(axis=0)


def linear_layer(axes: list[int | str]) -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    constants = [
        numpy_helper.from_array(rng.normal(size=(64, 64)).astype(np.float32), "w"),
        numpy_helper.from_array(rng.normal(size=64).astype(np.float32), "b"),
    ]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["xw"]), helper.make_node("Add", ["xw", "b"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name in ("x", "y")]
    body = helper.make_graph(nodes, "linear", values[:1], values[1:], constants)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
