"""Which operators treat every token alone: they may run on any subset of the tokens, in any arrangement."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from export.transformer.graph import Graph, Shape, attribute

UNARY = frozenset({"Erf", "Gelu", "Identity", "LeakyRelu", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh"})
BINARY = frozenset({"Add", "Div", "Mul", "Pow", "Sub"})


def token_inputs(graph: Graph, node: onnx.NodeProto) -> tuple[str, ...] | None:
    """The inputs of a node that hold tokens, [N, S, *] each.

    Returns:
        None when the node does not work token by token, or that is not certain.
    """
    shape = graph.shape(node.output[0])
    if len(shape) != 3 or not isinstance(shape[2], int):
        return None
    if node.op_type in UNARY:
        return (node.input[0],)
    if node.op_type == "LayerNormalization":
        last = attribute(node, "axis", -1) in (-1, 2) and not any(map(graph.readers, node.output[1:]))
        plain = all(_is_column(graph, name, shape) for name in node.input[1:] if name)
        return (node.input[0],) if last and plain else None
    if node.op_type == "MatMul":
        weight = graph.constant(node.input[1])
        given = graph.shape(node.input[0])
        fits = weight is not None and weight.ndim == 2 and len(given) == 3
        return (node.input[0],) if fits else None
    if node.op_type in BINARY:
        tokens = tuple(name for name in node.input if not _is_column(graph, name, shape))
        return tokens if tokens and all(_alike(graph.shape(name), shape) for name in tokens) else None
    return None


def on_rows(graph: Graph, node: onnx.NodeProto, rows: Mapping[str, str], output: str) -> onnx.NodeProto:
    """The same operator on [rows, *] instead of [N, S, *].

    Args:
        rows: token input -> the value of two axes that takes its place.
        output: name of the result.
    """
    copy = onnx.NodeProto.FromString(node.SerializeToString())
    copy.name = output
    del copy.output[:]
    copy.output.append(output)
    for at, name in enumerate(copy.input):
        if name in rows:
            copy.input[at] = rows[name]
        elif node.op_type in BINARY and len(graph.shape(name)) > 1:
            array = np.asarray(graph.constant(name))
            copy.input[at] = graph.add_constant(f"{name}/column", array.reshape(array.shape[-1]))
    for entry in copy.attribute:
        if node.op_type == "LayerNormalization" and entry.name == "axis":
            entry.i = -1
    return copy


def _is_column(graph: Graph, name: str, shape: Shape) -> bool:
    """One number, or one per column: the same for every token."""
    array = graph.constant(name)
    return array is not None and (array.size == 1 or (array.size == shape[2] == array.shape[-1]))


def _alike(one: Shape, other: Shape) -> bool:
    return len(one) == 3 and one[1:] == other[1:]
