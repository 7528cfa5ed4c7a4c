"""FFN neurons that are far larger than their neighbours are computed in fp32 beside the int8 product.

A few neurons of trained BERTs reach several times what all others do, on a few tokens, and carry signal
there: clipping them ruins the order, and stretching the range to them leaves the others a handful of steps.
So the neuron's own column of the first layer and row of the second are taken out of the int8 products and
added in fp32, on top of the residual, which costs two narrow products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from export.spec import Array
from export.transformer.graph import Graph
from export.transformer.ranges import Columns
from export.transformer.token_wise import UNARY

NEURONS_MAX = 8
OUTLIER_MIN = 1.5
"""A neuron that reaches this many times the largest that stays is taken out: the step shrinks by as much."""


@dataclass(frozen=True, slots=True)
class FeedForward:
    """down(activation(up(x))) + residual.

    Attributes:
        up, down: the Gemms.
        activation: between them.
        add: the Add that takes up the residual.
    """

    up: onnx.NodeProto
    activation: onnx.NodeProto
    down: onnx.NodeProto
    add: onnx.NodeProto

    @property
    def hidden(self) -> str:
        """The value between activation and down."""
        return str(self.down.input[0])


def find_feed_forward(graph: Graph) -> list[FeedForward]:
    """Every FFN in two-axis form."""
    found = []
    for down in [node for node in graph.nodes if node.op_type == "Gemm"]:
        activation = graph.maker(down.input[0])
        if activation is None or activation.op_type not in UNARY:
            continue
        up, add = graph.maker(activation.input[0]), graph.only_reader(down.output[0])
        plain = up is not None and all(_is_plain(graph, node) for node in (up, down))
        alone = (
            graph.only_reader(down.input[0]) is not None
            and graph.only_reader(activation.input[0]) is not None
        )
        if up is not None and plain and alone and add is not None and _takes_residual(graph, add, down):
            found.append(FeedForward(up, activation, down, add))
    return found


def outliers(columns: Columns) -> list[int]:
    """Neurons to take out, at most NEURONS_MAX: those OUTLIER_MIN times beyond all that stay."""
    reach = columns.reach
    order = np.argsort(-reach, kind="stable")
    for count in range(min(NEURONS_MAX, len(order) - 1), 0, -1):
        if reach[order[count - 1]] >= OUTLIER_MIN * max(float(reach[order[count]]), 1e-6):
            return sorted(int(neuron) for neuron in order[:count])
    return []


def take_out(graph: Graph, ffn: FeedForward, neurons: list[int]) -> None:
    """Compute these neurons apart; their columns and rows in the FFN's own weights become 0."""
    up, down, add = ffn.up, ffn.down, ffn.add
    name = f"{ffn.hidden}/outliers"
    up_weight, up_bias = _array(graph, up.input[1]), _array(graph, up.input[2])
    down_weight = _array(graph, down.input[1])
    weight_in = graph.add_constant(f"{name}/up", up_weight[:, neurons])
    bias_in = graph.add_constant(f"{name}/up_bias", up_bias[neurons])
    weight_out = graph.add_constant(f"{name}/down", down_weight[neurons])
    count = len(neurons)
    graph.add("Gemm", [up.input[0], weight_in, bias_in], f"{name}/in", (None, count))
    activation = onnx.NodeProto.FromString(ffn.activation.SerializeToString())
    activation.name = activation.output[0] = name
    activation.input[0] = f"{name}/in"
    graph.append(activation, (None, count))
    at = 1 if add.input[0] == down.output[0] else 0
    residual = add.input[at]
    graph.add("Gemm", [name, weight_out, residual], f"{name}/out", graph.shape(residual))
    add.input[at] = f"{name}/out"
    up_weight[:, neurons] = 0.0
    up_bias[neurons] = 0.0
    down_weight[neurons] = 0.0
    for node, place, array in ((up, 1, up_weight), (up, 2, up_bias), (down, 1, down_weight)):
        node.input[place] = graph.add_constant(f"{node.output[0]}/without_outliers/{place}", array)
    graph.sort()


def _array(graph: Graph, name: str) -> Array:
    array = graph.constant(name)
    assert array is not None  # _is_plain
    return array.copy()


def _is_plain(graph: Graph, node: onnx.NodeProto) -> bool:
    """Gemm(x, constant [K, N], constant [N]) without factors or transpositions, as `two_axes` writes it."""
    if node.op_type != "Gemm" or node.attribute or len(node.input) != 3:
        return False
    return all(graph.constant(name) is not None for name in node.input[1:])


def _takes_residual(graph: Graph, add: onnx.NodeProto, down: onnx.NodeProto) -> bool:
    """Add of a value as large as the product, so that a Gemm can add it, too."""
    if add.op_type != "Add":
        return False
    other = add.input[1] if add.input[0] == down.output[0] else add.input[0]
    width = graph.shape(down.output[0])[-1]
    return graph.constant(other) is None and len(graph.shape(other)) == 2 and graph.shape(other)[1] == width
