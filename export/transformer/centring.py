"""Columns of values are moved so that their range lies around 0, where that costs nothing when serving.

What a LayerNorm gives is read by products, which have a bias, and added to a product's result, which has one,
too: a constant taken off the LayerNorm's bias is given back there, and no score changes. An attention's
weights sum to 1, so the same holds for the bias of its values and of the product that reads it. Columns that
swing about a value far from 0 then need a smaller range: the error of int8 products behind MiniLM-L6's
LayerNorms falls by a third.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx

from export.spec import Array
from export.transformer.graph import VIEWS, Graph
from export.transformer.ranges import Columns, moved


@dataclass(slots=True)
class Move:
    """What follows from taking a constant off a value.

    Attributes:
        values: all values that are moved with it: itself, its views and selections, and sums with it.
        biases: output of a Gemm -> what its bias gets, float32 [N].
    """

    values: list[str] = field(default_factory=list)
    biases: dict[str, Array] = field(default_factory=dict)


def centre_of(columns: Columns) -> Array:
    """The middle of each column's range, float32 [K]."""
    middle: Array = ((columns.low + columns.high) / 2).astype(np.float32)
    return middle


def centre_layer_norms(graph: Graph, ranges: dict[str, Columns]) -> None:
    """Move every LayerNorm's output that is read as the module's text says; `ranges` follow."""
    for node in [node for node in graph.nodes if node.op_type == "LayerNormalization"]:
        value = node.output[0]
        if value not in ranges or len(node.input) != 3 or graph.constant(node.input[2]) is None:
            continue
        centre = centre_of(ranges[value])
        move = follow(graph, value, centre)
        if move is None:
            continue
        add_to_bias(graph, node, -centre)
        for product, change in move.biases.items():
            maker = graph.maker(product)
            assert maker is not None  # follow found it
            add_to_bias(graph, maker, change)
        for name in move.values:
            if name in ranges:
                ranges[name] = moved(ranges[name], centre)


def follow(graph: Graph, value: str, centre: Array) -> Move | None:
    """Where a constant that is taken off `value` must be given back; None where it would be lost."""
    move, waiting = Move(), [value]
    while waiting:
        name = waiting.pop()
        if name in graph.outputs:
            return None
        move.values.append(name)
        for reader in graph.readers(name):
            further = _read(graph, reader, name, centre, move)
            if further is None:
                return None
            waiting += further
    return move


def add_to_bias(graph: Graph, node: onnx.NodeProto, change: Array) -> None:
    """Give a Gemm or a LayerNorm another constant bias."""
    bias = graph.constant(node.input[2])
    assert bias is not None  # the callers looked
    name = f"{node.output[0]}/centred"
    node.input[2] = graph.add_constant(name, (bias + change).astype(np.float32))


def has_bias(graph: Graph, node: onnx.NodeProto | None) -> bool:
    """Gemm(x, constant [K, N], constant [N]) without factors or transpositions."""
    return (
        node is not None
        and node.op_type == "Gemm"
        and not node.attribute
        and len(node.input) == 3
        and all(graph.constant(name) is not None for name in node.input[1:])
        and len(graph.shape(node.input[2])) == 1
    )


def _read(graph: Graph, reader: onnx.NodeProto, name: str, centre: Array, move: Move) -> list[str] | None:
    """Values that are moved because of one reader; None where it cannot be made up for."""
    if reader.op_type == "Shape":
        return []
    keeps_columns = graph.shape(reader.output[0])[-1:] == (len(centre),)
    if reader.op_type in VIEWS - {"Transpose"} or (reader.op_type == "Gather" and name == reader.input[0]):
        return [reader.output[0]] if keeps_columns and _along_rows(graph, reader) else None
    if reader.op_type == "Gemm" and list(reader.input).count(name) == 1:
        if reader.input[0] == name and has_bias(graph, reader):
            weight = graph.constant(reader.input[1])
            assert weight is not None  # has_bias
            _give(move, reader.output[0], centre @ weight)
            return []
        if reader.input[2:] == [name] and not reader.attribute:
            return [reader.output[0]]
    if reader.op_type == "Add" and keeps_columns:
        other = reader.input[1] if reader.input[0] == name else reader.input[0]
        maker = graph.maker(other)
        if has_bias(graph, maker) and graph.only_reader(other) is reader:
            _give(move, other, centre)
            return []
    return None


def _along_rows(graph: Graph, reader: onnx.NodeProto) -> bool:
    """A selection takes rows, not columns."""
    if reader.op_type != "Gather":
        return True
    axis = next((entry.i for entry in reader.attribute if entry.name == "axis"), 0)
    return bool(axis not in (-1, len(graph.shape(reader.input[0])) - 1))


def _give(move: Move, product: str, change: Array) -> None:
    before = move.biases.get(product)
    move.biases[product] = change if before is None else before + change
