"""The last layer computes only the token that the head reads.

A head that reads one position, `x[:, 0]` as a rule, needs of the last layer that row alone: keys and values
of all tokens, but one query, and everything behind the attention on [N, H] instead of [N, S, H]. The choice
moves up through whatever treats tokens one by one, and through the queries of an attention.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from export.transformer.attention import OPERATOR
from export.transformer.graph import Graph
from export.transformer.token_wise import on_rows, token_inputs


def read_needed_rows(graph: Graph) -> int:
    """Move every selection of one token as far up as it goes; returns how many attentions got one query."""
    graph.sort()
    moved = 0
    for pick in [node for node in graph.nodes if _picks_a_token(graph, node)]:
        chosen = _above(graph, pick)
        attentions = sum(node.op_type == OPERATOR for node in chosen)
        if attentions:
            _Mover(graph, pick).move(chosen)
            moved += attentions
            graph.sort()  # what the selection left without a reader goes
    return moved


def _picks_a_token(graph: Graph, node: onnx.NodeProto) -> bool:
    """`Gather` of one constant position along the second of three axes."""
    if node.op_type != "Gather" or len(graph.shape(node.input[0])) != 3:
        return False
    axis = [entry.i for entry in node.attribute if entry.name == "axis"]
    index = graph.constant(node.input[1])
    return axis == [1] and index is not None and index.ndim == 0


def _above(graph: Graph, pick: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Nodes of which only the picked token is read in the end, in graph order."""
    chosen: dict[int, onnx.NodeProto] = {id(pick): pick}
    wanted = {pick.input[0]}
    for node in reversed(graph.nodes):
        value = node.output[0]
        if value not in wanted or value in graph.outputs:
            continue
        if not all(id(reader) in chosen and _by_token(reader, value) for reader in graph.readers(value)):
            continue
        tokens = node.input[:1] if node.op_type == OPERATOR else token_inputs(graph, node)
        if tokens is not None:
            chosen[id(node)] = node
            wanted.update(tokens)
    return [node for node in graph.nodes if id(node) in chosen and node is not pick]


def _by_token(reader: onnx.NodeProto, value: str) -> bool:
    """An attention reads all keys and values, but each query alone."""
    return reader.op_type != OPERATOR or value not in reader.input[1:]


class _Mover:
    """Rewrites what lies between the tokens and one selection."""

    def __init__(self, graph: Graph, pick: onnx.NodeProto) -> None:
        self._graph = graph
        self._pick = pick
        self._rows: dict[str, str] = {}
        self._suffix = f"row_of_{pick.output[0]}"

    def move(self, chosen: list[onnx.NodeProto]) -> None:
        graph, pick = self._graph, self._pick
        for node in chosen:
            row: Callable[[onnx.NodeProto], str] = self._attend if node.op_type == OPERATOR else self._token
            self._rows[node.output[0]] = row(node)
        row_of_all = self._rows[pick.input[0]]
        graph.drop([pick])
        graph.add("Identity", [row_of_all], pick.output[0], graph.shape(row_of_all))

    def _token(self, node: onnx.NodeProto) -> str:
        graph, value = self._graph, node.output[0]
        name = f"{value}/{self._suffix}"
        rows = {token: self._row(token) for token in token_inputs(graph, node) or ()}
        shape = graph.shape(value)
        graph.append(on_rows(graph, node, rows, name), (shape[0], shape[2]))
        return name

    def _attend(self, node: onnx.NodeProto) -> str:
        graph, value = self._graph, node.output[0]
        q = self._row(node.input[0])
        count, width = graph.shape(q)
        axis = graph.add_constant("query_axis", np.array([1], np.int64))
        query = graph.add("Unsqueeze", [q, axis], f"{q}/query", (count, 1, width))
        copy = onnx.NodeProto.FromString(node.SerializeToString())
        copy.name = copy.output[0] = f"{value}/{self._suffix}/query"
        copy.input[0] = query
        if len(copy.input) > 3:
            copy.input[3] = self._mask(copy.input[3])
        graph.append(copy, (count, 1, width))
        return graph.add("Squeeze", [copy.output[0], axis], f"{value}/{self._suffix}", (count, width))

    def _mask(self, mask: str) -> str:
        graph = self._graph
        shape = graph.shape(mask)
        if shape[-2] == 1:
            return mask
        index = graph.constant(self._pick.input[1])
        name = f"{mask}/{self._suffix}"
        if graph.maker(name) is None:
            at = graph.add_constant(f"{name}/index", np.asarray(index).reshape(1))
            graph.add("Gather", [mask, at], name, (*shape[:-2], 1, shape[-1]), axis=len(shape) - 2)
        return name

    def _row(self, value: str) -> str:
        if value not in self._rows:
            graph = self._graph
            shape = graph.shape(value)
            name = f"{value}/{self._suffix}"
            graph.add("Gather", [value, self._pick.input[1]], name, (shape[0], shape[2]), axis=1)
            self._rows[value] = name
        return self._rows[value]
