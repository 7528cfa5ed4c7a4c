"""int8-weights and int8-dynamic: written as said, close to exact, and what becomes of the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.dynamic import to_dynamic_int8
from export.gates import batch_invariance
from export.gates.evidence import Evidence, Subject
from export.runtime import Runner, optimized_op_counts
from export.sites import find_sites
from export.weights_only import BLOCK, OPERATOR, quantize_blocks, to_int8_weights
from tests.unit.export.test_int8 import linear_layer


@pytest.mark.parametrize("k", [64, 96, 70])
def test_a_weight_comes_back_from_its_blocks(k: int) -> None:
    """Off by half a step of its own block at most; a last block that is not full changes nothing."""
    weight = np.random.default_rng(0).normal(size=(k, 40)).astype(np.float32)
    weight[0, 0] = 50.0  # spoils its block, and no other

    codes, scales = quantize_blocks(weight)
    back = ((codes.astype(np.float32) - 128) * scales[:, :, None]).reshape(40, -1)[:, :k].T

    steps = np.repeat(scales, BLOCK, axis=1)[:, :k].T
    assert (np.uint8, (40, -(-k // BLOCK), BLOCK)) == (codes.dtype.type, codes.shape)
    assert (np.abs(back - weight) <= 0.5001 * steps).all()
    assert scales.max() > 10 * np.median(scales)


@pytest.mark.parametrize("axes", [["N", 64], ["N", 5, 64]])
def test_both_kinds_of_product_are_close_to_the_exact_one(axes: list[int | str]) -> None:
    """With the bias, over two axes and three, and by the kernel that is meant."""
    model = linear_layer(axes)
    sites = find_sites(model)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=[7 if axis == "N" else axis for axis in axes]).astype(np.float32)
    exact = Runner(model).run({"x": x})["y"]

    for made, kernel in (
        (to_int8_weights(model, sites), OPERATOR),
        (to_dynamic_int8(model, sites), "DynamicQuantizeMatMul"),
    ):
        got = Runner(made).run({"x": x})["y"]
        assert 0 < np.abs(got - exact).max() < 0.05 * exact.std()
        assert 1 == optimized_op_counts(made)[kernel]


def test_a_width_that_no_block_divides() -> None:
    """The last block is filled up; the kernel reads past no row."""
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(70, 64)).astype(np.float32)
    x = rng.normal(size=(9, 70)).astype(np.float32)
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", k]) for n, k in (("x", 70), ("y", 64))
    ]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    body = helper.make_graph(nodes, "g", values[:1], values[1:], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)

    got = Runner(to_int8_weights(model, find_sites(model))).run({"x": x})["y"]

    assert np.abs(got - x @ weight).max() < 0.05 * (x @ weight).std()


def test_weights_take_a_quarter_of_the_bytes() -> None:
    """8 bits and a scale per 32 weights in place of 32 bits."""
    model = linear_layer(["N", 64])
    weights = 64 * 64 * 4

    assert to_int8_weights(model, find_sites(model)).ByteSize() < model.ByteSize() - 0.65 * weights


def test_weight_only_scores_do_not_depend_on_the_batch(graph: onnx.ModelProto, evidence: Evidence) -> None:
    """Activations are rounded by a scale of their own row, so the gate lets it pass."""
    subject = Subject("int8-weights", to_int8_weights(graph, [s for s in find_sites(graph) if s.pays]))

    result, found = batch_invariance.check(evidence, subject, compositions=300)

    assert "pass" == result.verdict
    assert found.relative_to_std < 1e-3


def test_dynamic_scores_depend_on_the_batch_and_the_gate_says_so(
    graph: onnx.ModelProto, evidence: Evidence
) -> None:
    """The graph that would be refused as int8 is told of as int8-dynamic: who asks for it by name gets it."""
    model = to_dynamic_int8(graph, [site for site in find_sites(graph) if site.pays])

    result, found = batch_invariance.check(evidence, Subject("int8-dynamic", model), compositions=300)

    assert "warning" == result.verdict
    assert result.sentence.startswith("scores depend on batch-mates: scores move by up to")
    assert found.relative_to_std > 1e-3
    with pytest.raises(batch_invariance.GateFailed):
        batch_invariance.check(evidence, Subject("int8", model), compositions=300)


def test_products_that_read_one_value_share_its_codes(tmp_path: Path) -> None:
    """q, k and v of a transformer: quantised once per run."""
    from tests.export_specs.cross_encoder import Shape
    from tests.unit.export.transformer.cases import case

    model = case(Shape()).rewritten.model
    sites = [site for site in find_sites(model) if site.pays]
    made = to_dynamic_int8(model, sites)

    dynamic = [node for node in made.graph.node if node.op_type == "DynamicQuantizeLinear"]
    assert len({site.x for site in sites}) == len(dynamic) < len(sites)
