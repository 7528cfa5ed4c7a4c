"""An ONNX graph that passes can edit: who makes a value, who reads it, what shape it has.

Passes add and drop nodes in any order; `model` sorts them, drops what nobody reads, and checks the result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.spec import Array
from export.tracing import finish

Shape = tuple[int | str | None, ...]
"""Sizes; a name is symbolic, None is unknown."""

VIEWS = frozenset({"Reshape", "Transpose", "Unsqueeze", "Squeeze", "Identity"})
"""Operators that move values about without computing any."""


class Graph:
    """A graph under the passes' hands; the model that it was made from stays as it is."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._base = model
        self.nodes: list[onnx.NodeProto] = []
        self.outputs = frozenset(value.name for value in model.graph.output)
        self.shapes = _shapes(model)
        self._constants = {entry.name: entry for entry in model.graph.initializer}
        self._declared: list[str] = []
        self._index: tuple[dict[str, onnx.NodeProto], dict[str, list[onnx.NodeProto]]] | None = None
        for node in model.graph.node:
            value = _constant_of(node)
            if value is None or node.output[0] in self.outputs:
                self.nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
            else:
                self.add_constant(node.output[0], value)
        self._declared += self._computed_shapes()

    def constant(self, name: str) -> Array | None:
        """The value of an initialiser; None for anything computed or fed."""
        entry = self._constants.get(name)
        return None if entry is None else numpy_helper.to_array(entry)

    def scalar(self, name: str) -> float | None:
        """The value of an initialiser of one element."""
        array = self.constant(name)
        return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None

    def add_constant(self, name: str, array: Array) -> str:
        """Add or overwrite an initialiser; returns its name."""
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.shapes[name] = tuple(array.shape)
        return name

    def shape(self, name: str) -> Shape:
        """Shape of a value; () also when nothing is known of it."""
        return self.shapes.get(name, ())

    def maker(self, name: str) -> onnx.NodeProto | None:
        """The node that computes a value; None for inputs and constants."""
        return self._indexed()[0].get(name)

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a value, each once."""
        return self._indexed()[1].get(name, [])

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        """The one node that reads a value, if nobody else does."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def add(self, op: str, inputs: Sequence[str], output: str, shape: Shape, **attributes: Any) -> str:
        """Add a node of the standard domain; returns the name of its output."""
        self.append(helper.make_node(op, list(inputs), [output], name=output, **attributes), shape)
        return output

    def append(self, node: onnx.NodeProto, shape: Shape) -> None:
        """Add a node whose first output has this shape."""
        self.nodes.append(node)
        self.shapes[node.output[0]] = shape
        self._index = None

    def declare(self, name: str) -> None:
        """Write down a float value's shape: where it is computed, shape inference cannot find it."""
        self._declared.append(name)

    def drop(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Remove nodes; their values must be made by others by the time that `model` is called."""
        gone = {id(node) for node in nodes}
        self.nodes = [node for node in self.nodes if id(node) not in gone]
        self._index = None

    def sort(self) -> None:
        """Put makers before readers and drop what no output depends on; otherwise keep the order.

        Raises:
            ValueError: a value depends on itself.
        """
        makers = self._indexed()[0]
        placed: dict[int, onnx.NodeProto] = {}
        open_: set[int] = set()
        for output in self._base.graph.output:
            stack = [makers[output.name]] if output.name in makers else []
            while stack:
                node = stack[-1]
                waiting = [makers[name] for name in _reads(node) if name in makers]
                waiting = [maker for maker in waiting if id(maker) not in placed]
                if not waiting:
                    placed.setdefault(id(node), stack.pop())
                    continue
                if any(id(maker) in open_ for maker in waiting):
                    raise ValueError(f"value {node.output[0]!r} depends on itself")
                open_.add(id(node))
                stack.append(waiting[0])
        self.nodes = list(placed.values())
        self._index = None

    def model(self, opset: int | None = None) -> onnx.ModelProto:
        """The edited graph as a checked model.

        Args:
            opset: of the standard domain, when it must rise.

        Raises:
            ExportFailed: the edits left no valid graph.
        """
        self.sort()
        model = onnx.ModelProto()
        model.CopyFrom(self._base)
        for name in ("node", "initializer", "value_info"):
            del getattr(model.graph, name)[:]
        model.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in _reads(node)} | self.outputs
        model.graph.initializer.extend(entry for name, entry in self._constants.items() if name in used)
        made = {name for node in self.nodes for name in node.output}
        for name in self._declared:
            if name in made - self.outputs:
                value = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, self.shapes[name])
                model.graph.value_info.append(value)
        if opset is not None:
            for entry in model.opset_import:
                if entry.domain == "":
                    entry.version = max(entry.version, opset)
            model.ir_version = max(model.ir_version, helper.find_min_ir_version_for(model.opset_import, True))
        finish(model)
        return model

    def _computed_shapes(self) -> list[str]:
        """Values whose declared shape would get lost: shape inference cannot follow computed sizes."""
        declared = {entry.name for entry in self._base.graph.value_info}
        return [
            node.output[0]
            for node in self.nodes
            if node.op_type == "Reshape"
            and node.output[0] in declared
            and node.input[1] not in self._constants
        ]

    def _indexed(self) -> tuple[dict[str, onnx.NodeProto], dict[str, list[onnx.NodeProto]]]:
        if self._index is None:
            makers = {name: node for node in self.nodes for name in node.output if name}
            readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
            for node in self.nodes:
                for name in dict.fromkeys(_reads(node)):
                    readers[name].append(node)
            self._index = makers, readers
        return self._index


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """An attribute's value, or the default."""
    for entry in node.attribute:
        if entry.name == name:
            return helper.get_attribute_value(entry)
    return default


def _constant_of(node: onnx.NodeProto) -> Array | None:
    """What a Constant holds: the tracer leaves small ones as nodes."""
    if node.op_type != "Constant":
        return None
    entry = node.attribute[0]
    held = helper.get_attribute_value(entry)
    if entry.name == "value":
        array: Array = numpy_helper.to_array(held)
        return array
    if entry.name in ("value_float", "value_floats"):
        return np.array(held, np.float32)
    return np.array(held, np.int64) if entry.name in ("value_int", "value_ints") else None


def _reads(node: onnx.NodeProto) -> list[str]:
    """What a node reads, branches of an If and bodies of a Loop included."""
    names = [name for name in node.input if name]
    for entry in node.attribute:
        if entry.type == onnx.AttributeProto.GRAPH:
            names += [name for inner in entry.g.node for name in _reads(inner)]
    return names


def _shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, Shape] = {entry.name: tuple(entry.dims) for entry in inferred.initializer}
    for value in (*model.graph.value_info, *inferred.value_info, *inferred.input, *inferred.output):
        if not value.type.tensor_type.HasField("shape"):
            continue
        found = tuple(_size(dim) for dim in value.type.tensor_type.shape.dim)
        known = shapes.get(value.name, ())
        if len(known) == len(found):  # keep what either source knows
            found = tuple(
                new if isinstance(new, int) or old is None else old
                for new, old in zip(found, known, strict=True)
            )
        shapes[value.name] = found
    return shapes


def _size(dim: Any) -> int | str | None:
    kind = dim.WhichOneof("value")
    if kind == "dim_value":
        return int(dim.dim_value)
    return str(dim.dim_param) if kind == "dim_param" else None
