"""Constants move between biases where no score notices, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from export.runtime import Runner
from export.sites import find_sites
from export.transformer.centring import centre_layer_norms, follow
from export.transformer.graph import Graph
from export.transformer.quantization import prepare
from export.transformer.ranges import column_ranges
from tests.export_specs.cross_encoder import Shape
from tests.unit.export.transformer.cases import Case, case, error

SHAPES = [Shape(), Shape(pooled=True), Shape(outlier=60.0)]


def sites_of(found: Case) -> list[str]:
    return sorted({site.x for site in find_sites(found.rewritten.model) if site.pays})


@pytest.mark.parametrize("shape", SHAPES)
def test_scores_stay_and_ranges_lie_around_zero(shape: Shape) -> None:
    """Every LayerNorm that only products and a residual read is centred; what was seen of it moves along."""
    found = case(shape)
    model = found.rewritten.model
    graph = Graph(model)
    ranges = dict(column_ranges(model, sites_of(found), found.codec, found.requests))
    before = dict(ranges)
    centre_layer_norms(graph, ranges)
    changed = graph.model()
    again = column_ranges(changed, sites_of(found), found.codec, found.requests)
    centred = [x for x in ranges if ranges[x] is not before[x]]

    assert error(Runner(changed).run(found.feeds)["score"], found.exact()) < 1e-5
    assert len(centred) >= 2 * shape.layers - 1
    for x in centred:
        assert np.allclose(again[x].low, ranges[x].low, atol=1e-4)
        assert np.allclose(again[x].products, ranges[x].products, rtol=1e-3, atol=0.1)


def test_a_value_that_something_else_reads_is_left() -> None:
    """A Relu has no bias to give the constant back to."""
    found = case(SHAPES[0])
    graph = Graph(found.rewritten.model)
    last = [node for node in graph.nodes if node.op_type == "LayerNormalization"][-1]
    relu = graph.add("Relu", [last.output[0]], "also_reads", graph.shape(last.output[0]))
    assert relu in [node.output[0] for node in graph.readers(last.output[0])]

    assert follow(graph, last.output[0], np.zeros(graph.shape(last.output[0])[-1], np.float32)) is None


def test_shifted_layer_norms_cost_int8_nothing() -> None:
    """A LayerNorm far from 0, which one uint8 scale could not hold, is quantised as finely as without."""
    found = case(SHAPES[0])
    plain = prepare(found.rewritten.model, found.codec, found.requests)
    model = found.rewritten.model
    graph = Graph(model)
    norm = [node for node in graph.nodes if node.op_type == "LayerNormalization"][1]
    up = next(node for node in graph.readers(norm.output[0]) if node.op_type == "Gemm")
    far = np.float32(50.0)
    bias, weight, up_bias = (graph.constant(name) for name in (norm.input[2], *up.input[1:]))
    assert bias is not None
    assert weight is not None
    assert up_bias is not None
    norm.input[2] = graph.add_constant("far", bias + far)
    up.input[2] = graph.add_constant("back", up_bias - far * weight.sum(axis=0))
    shifted = prepare(graph.model(), found.codec, found.requests)

    assert shifted.quantizations[up.output[0]].scale == pytest.approx(
        plain.quantizations[up.output[0]].scale, rel=1e-3
    )
