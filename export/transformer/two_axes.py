"""Token-wise work on [N * S, H]: every linear layer one Gemm, Reshapes only around attention.

With three axes ONNX Runtime keeps MatMul and Add apart, joins the Add with the activation behind it
(BiasGelu), and Add and LayerNormalization to SkipLayerNormalization, which its CPU kernels run several times
slower than the two alone. With two axes it does neither (`export.operators` counts).
"""

from __future__ import annotations

import numpy as np
import onnx

from export.transformer.graph import Graph
from export.transformer.token_wise import on_rows, token_inputs


def to_two_axes(graph: Graph) -> int:
    """Rewrite all token-wise work around linear layers; returns how many Gemms came of it."""
    graph.sort()
    _Flattener(graph).flatten()
    graph.sort()
    return join_biases(graph)


def join_biases(graph: Graph) -> int:
    """MatMul by a constant, and Add of a constant if one follows, become one Gemm; returns how many."""
    products = [node for node in graph.nodes if node.op_type == "MatMul" and _is_linear(graph, node)]
    for product in products:
        add = graph.only_reader(product.output[0])
        bias = _bias(graph, product, add) if add is not None else None
        last = add if add is not None and bias is not None else product
        graph.drop([product, last])
        inputs = [*product.input, bias] if bias is not None else list(product.input)
        graph.add("Gemm", inputs, last.output[0], graph.shape(last.output[0]))
    graph.sort()
    return len(products)


def _is_linear(graph: Graph, node: onnx.NodeProto) -> bool:
    weight = graph.constant(node.input[1])
    return weight is not None and weight.ndim == 2 and len(graph.shape(node.input[0])) == 2


def _bias(graph: Graph, product: onnx.NodeProto, add: onnx.NodeProto) -> str | None:
    if add.op_type != "Add":
        return None
    other = add.input[1] if add.input[0] == product.output[0] else add.input[0]
    array, width = graph.constant(other), graph.shape(product.output[0])[-1]
    return other if array is not None and array.shape == (width,) else None


class _Flattener:
    """Rewrites the token-wise nodes of a sorted graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._rows: dict[str, str] = {}
        self._source: dict[str, str] = {}
        """Value -> one with the same first two sizes that keeps its three axes."""

    def flatten(self) -> None:
        graph = self._graph
        inputs = {id(node): token_inputs(graph, node) for node in graph.nodes}
        widths = {
            graph.shape(name)[-1]
            for node in graph.nodes
            if node.op_type == "MatMul" and inputs[id(node)]
            for name in (node.input[0], node.output[0])
        }
        region = [
            node for node in graph.nodes if inputs[id(node)] and graph.shape(node.output[0])[-1] in widths
        ]
        members = {id(node) for node in region}
        readers = {node.output[0]: graph.readers(node.output[0]) for node in region}
        graph.drop(region)
        for node in region:
            value = node.output[0]
            tokens = {name: self._flat(name) for name in inputs[id(node)] or ()}
            first = next(iter(tokens))
            self._source[value] = self._source.get(first, first)
            name = self._rows[value] = f"{value}/rows"
            graph.append(on_rows(graph, node, tokens, name), (None, graph.shape(value)[2]))
            if value in graph.outputs or any(id(reader) not in members for reader in readers[value]):
                self._unflatten(value)

    def _flat(self, value: str) -> str:
        if value not in self._rows:
            graph = self._graph
            width = graph.shape(value)[2]
            name = self._rows[value] = f"{value}/rows"
            sizes = graph.add_constant(f"{name}/sizes", np.array([-1, width], np.int64))
            graph.add("Reshape", [value, sizes], name, (None, width))
        return self._rows[value]

    def _unflatten(self, value: str) -> None:
        """Give `value` its three axes back."""
        graph = self._graph
        _, length, width = shape = graph.shape(value)
        name = f"{value}/sizes"
        if isinstance(length, int):
            sizes = graph.add_constant(name, np.array([-1, length, width], np.int64))
        else:
            last = graph.add_constant(f"{name}/width", np.array([width], np.int64))
            first = graph.add("Shape", [self._source[value]], f"{name}/first", (2,), start=0, end=2)
            sizes = graph.add("Concat", [first, last], name, (3,), axis=0)
            graph.declare(value)
        graph.add("Reshape", [self._rows[value], sizes], value, shape)
