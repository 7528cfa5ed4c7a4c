"""Where a graph multiplies by constant weights: the places that int8 can speed up, and which of them pay.

Only MatMul and Gemm with a constant right-hand side are ever quantised: never the products of two activations
(attention), never tables, never element-wise operators.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from export.spec import Array

WIDTH_MIN = 32
WEIGHTS_MIN = 64 * 64
"""Below these a QuantizeLinear costs more than int8 saves. Measured on one core with AVX512-VNNI, 200 rows, a
Relu behind the product, fp32 time / int8 time: 32x32 0.87, 32x64 1.01, 64x64 1.21, 64x128 1.38, 256x128 2.29.
The first also keeps the logit layer, one or a few columns wide, in fp32: its rounding would go straight into
the order."""


@dataclass(frozen=True, slots=True)
class Site:
    """One product `x @ weight (+ bias)`.

    Attributes:
        name: the value it computes (after the bias, when there is one); unique in the graph.
        x: name of the left-hand side, [..., K].
        weight: float32 [K, N].
        bias: float32 [N] or None.
        nodes: indices of the nodes it replaces.
    """

    name: str
    x: str
    weight: Array
    bias: Array | None
    nodes: tuple[int, ...]

    @property
    def pays(self) -> bool:
        """Large enough for int8 to be faster."""
        return min(self.weight.shape) >= WIDTH_MIN and self.weight.size >= WEIGHTS_MIN


def find_sites(model: onnx.ModelProto) -> list[Site]:
    """Every product with constant weights, in graph order."""
    graph = model.graph
    constants = {entry.name: entry for entry in graph.initializer}
    readers: dict[str, list[int]] = defaultdict(list)
    for index, node in enumerate(graph.node):
        for name in node.input:
            readers[name].append(index)
    returned = {output.name for output in graph.output}
    sites = []
    for index, node in enumerate(graph.node):
        site = None
        if node.op_type == "Gemm":
            site = _gemm(index, node, constants)
        elif node.op_type == "MatMul":
            after = readers[node.output[0]] if node.output[0] not in returned else []
            follower = (after[0], graph.node[after[0]]) if len(after) == 1 else None
            site = _matmul(index, node, follower, constants)
        if site is not None:
            sites.append(site)
    return sites


def _gemm(index: int, node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> Site | None:
    options = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    plain = (
        options.get("alpha", 1.0) == 1.0 and options.get("beta", 1.0) == 1.0 and not options.get("transA", 0)
    )
    if not plain or node.input[1] not in constants:
        return None
    weight = _floats(constants[node.input[1]])
    if weight is None:
        return None
    if options.get("transB", 0):
        weight = np.ascontiguousarray(weight.T)
    bias = None
    if len(node.input) > 2 and node.input[2]:
        bias = _floats(constants[node.input[2]]) if node.input[2] in constants else None
        if bias is None or bias.shape != (weight.shape[1],):
            return None
    return Site(node.output[0], node.input[0], weight, bias, (index,))


def _matmul(
    index: int,
    node: onnx.NodeProto,
    follower: tuple[int, onnx.NodeProto] | None,
    constants: Mapping[str, onnx.TensorProto],
) -> Site | None:
    """A linear layer over more than two axes is a MatMul and an Add; the Add becomes the product's bias."""
    weight = _floats(constants[node.input[1]]) if node.input[1] in constants else None
    if weight is None or weight.ndim != 2:
        return None
    if follower is not None and follower[1].op_type == "Add":
        others = [name for name in follower[1].input if name != node.output[0]]
        bias = _floats(constants[others[0]]) if others and others[0] in constants else None
        if bias is not None and bias.shape == (weight.shape[1],):
            return Site(follower[1].output[0], node.input[0], weight, bias, (index, follower[0]))
    return Site(node.output[0], node.input[0], weight, None, (index,))


def _floats(tensor: onnx.TensorProto) -> Array | None:
    return numpy_helper.to_array(tensor) if tensor.data_type == onnx.TensorProto.FLOAT else None
