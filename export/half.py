"""The `fp16` variant, for GPUs: float16 between the inputs and the last layer, float32 where 11 bits are
too few.

Operators of a list run in float16, and all others in float32, with a Cast where a value crosses over. So
softmax, reductions, exponentials and whatever is not on the list keep float32; LayerNormalization reduces
in float32 by its own `stash_type`. float32 are also

- what is done to raw inputs before a product reads them: a timestamp or a price does not fit float16;
- the last narrow product and all behind it (activation, calibrated heads): a float16 logit would tie
  candidates that are not tied;
- the graph's inputs and outputs.

Constants of MASK_MIN and beyond, -inf among them, are masks and become -MASK_MAX, so that two can be added.
An operator with a constant between stays in float32.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.sites import WIDTH_MIN
from export.spec import Array
from export.tracing import ExportFailed, finish
from export.transformer.graph import Graph

MASK_MAX = 3e4
"""float16 ends at 65,504."""
MASK_MIN = 1e6
PRODUCTS = frozenset({"MatMul", "Gemm", "Attention"})
_LISTED = """
    Abs Add Concat Div Elu Erf Expand Flatten Gather GatherElements GatherND Gelu Identity LayerNormalization
    LeakyRelu Mul Neg Pad Relu Reshape Sigmoid Slice Split Squeeze Sub Tanh Tile Transpose Unsqueeze Where
"""
HALF = PRODUCTS | frozenset(_LISTED.split())
"""Operators that lose nothing to speak of in float16 and have CUDA kernels for it."""
_BOUNDED = PRODUCTS | frozenset({"LayerNormalization", "Sigmoid", "Tanh", "Softmax", "Erf"})
"""Operators behind which a raw input's magnitude is gone."""
_SUBGRAPHS = frozenset({"If", "Loop", "Scan", "SequenceMap"})


@dataclass(frozen=True, slots=True)
class Half:
    """An fp16 graph.

    Attributes:
        model: checked, with inferred shapes.
        products: first outputs of the products that run in float16.
    """

    model: onnx.ModelProto
    products: tuple[str, ...]


def to_half(model: onnx.ModelProto, products: Collection[str] | None = None) -> Half:
    """Convert an fp32 graph.

    Args:
        products: first outputs of the products that may run in float16; None = all.

    Raises:
        ExportFailed: it has control flow, or the result is no valid graph.
    """
    for node in model.graph.node:
        if node.op_type in _SUBGRAPHS:
            raise ExportFailed(
                f"fp16: the graph has control flow ({node.op_type}): leave fp16 out of --variants"
            )
    plain = Graph(model).model()  # constants are all initialisers
    types = _types(plain)
    constants = {entry.name: numpy_helper.to_array(entry) for entry in plain.graph.initializer}
    stay = _tail(plain, constants) | _raw(plain, types)
    writer = _Writer(plain, types, constants)
    for index, node in enumerate(plain.graph.node):
        chosen = products is None or node.op_type not in PRODUCTS or node.output[0] in products
        fits = all(_fits(constants[name]) for name in node.input if name in constants)
        writer.write(node, half=chosen and fits and node.op_type in HALF and index not in stay)
    return Half(writer.finished(), tuple(writer.products))


def _tail(model: onnx.ModelProto, constants: Mapping[str, Array]) -> set[int]:
    """Nodes that no wide product comes after."""
    leads_to_wide: set[str] = set()
    tail: set[int] = set()
    for index in range(len(model.graph.node) - 1, -1, -1):
        node = model.graph.node[index]
        weight = constants.get(node.input[1]) if node.op_type in PRODUCTS else None
        narrow = weight is not None and min(weight.shape, default=0) < WIDTH_MIN
        if (node.op_type in PRODUCTS and not narrow) or any(name in leads_to_wide for name in node.output):
            leads_to_wide.update(node.input)
        else:
            tail.add(index)
    return tail


def _raw(model: onnx.ModelProto, types: Mapping[str, int]) -> set[int]:
    """Nodes that compute with inputs as they came, and are no products."""
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    raw = {value.name for value in model.graph.input if types.get(value.name) in floats}
    found: set[int] = set()
    for index, node in enumerate(model.graph.node):
        of_numbers = node.op_type == "Cast" and types.get(node.input[0]) != TensorProto.BOOL
        if any(name in raw for name in node.input) or of_numbers:
            if node.op_type not in PRODUCTS:
                found.add(index)
            if node.op_type not in _BOUNDED:
                raw.update(node.output)
    return found


class _Writer:
    """Writes nodes in one precision or the other, and the Casts between."""

    def __init__(
        self, model: onnx.ModelProto, types: Mapping[str, int], constants: Mapping[str, Array]
    ) -> None:
        self._model = model
        self._constants = constants
        self._floats = {name for name, kind in types.items() if kind == TensorProto.FLOAT}
        self._is_half: set[str] = set()
        self._cast: dict[tuple[str, bool], str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._made: dict[str, onnx.TensorProto] = {}
        self._outputs = {output.name for output in model.graph.output}
        self.products: list[str] = []

    def write(self, node: onnx.NodeProto, *, half: bool) -> None:
        """Append a node; `half`: it computes in float16."""
        copy = onnx.NodeProto.FromString(node.SerializeToString())
        half = half and any(self._is_float(name) for name in [*node.input, *node.output])
        _clamp_fill(copy)
        for at, name in enumerate(node.input):
            if name in self._constants:
                copy.input[at] = self._half_constant(name) if half else name
            elif name in self._floats and (name in self._is_half) != half:
                copy.input[at] = self._converted(name, half=half)
        back: list[tuple[str, str]] = []
        for at, name in enumerate(node.output):
            if not (half and name in self._floats):
                continue
            if name in self._outputs:
                copy.output[at] = f"{name}/half"
                back.append((f"{name}/half", name))
            else:
                self._is_half.add(name)
        self._nodes.append(copy)
        self._nodes += [_cast(source, name, TensorProto.FLOAT) for source, name in back]
        if half and node.op_type in PRODUCTS:
            self.products.append(node.output[0])

    def finished(self) -> onnx.ModelProto:
        """The graph, checked, its inner shapes inferred anew."""
        made = onnx.ModelProto()
        made.CopyFrom(self._model)
        graph = made.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in node.input} | self._outputs
        kept = [*self._model.graph.initializer, *self._made.values()]
        graph.initializer.extend(entry for entry in kept if entry.name in used)
        finish(made)
        return made

    def _is_float(self, name: str) -> bool:
        constant = self._constants.get(name)
        return name in self._floats if constant is None else constant.dtype == np.float32

    def _half_constant(self, name: str) -> str:
        array = self._constants[name]
        if array.dtype != np.float32:
            return name
        new = f"{name}/half"
        if new not in self._made:
            values = np.clip(array, -MASK_MAX, MASK_MAX).astype(np.float16)
            self._made[new] = numpy_helper.from_array(values, new)
        return new

    def _converted(self, name: str, *, half: bool) -> str:
        key = (name, half)
        if key not in self._cast:
            self._cast[key] = f"{name}/as_{'half' if half else 'float'}"
            to = TensorProto.FLOAT16 if half else TensorProto.FLOAT
            self._nodes.append(_cast(name, self._cast[key], to))
        return self._cast[key]


def _fits(array: Array) -> bool:
    """Its numbers are in float16's range, or masks; a NaN is neither."""
    if array.dtype != np.float32:
        return True
    reach = np.abs(array)
    return bool(((reach <= MASK_MAX) | (reach >= MASK_MIN)).all())


def _clamp_fill(node: onnx.NodeProto) -> None:
    """A mask that `ConstantOfShape` makes."""
    for attribute in node.attribute if node.op_type == "ConstantOfShape" else ():
        value = numpy_helper.to_array(attribute.t)
        if value.dtype == np.float32 and (np.abs(value) >= MASK_MIN).any():
            attribute.t.CopyFrom(numpy_helper.from_array(np.clip(value, -MASK_MAX, MASK_MAX)))


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every value."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values: Iterable[onnx.ValueInfoProto] = [
        *inferred.graph.value_info,
        *inferred.graph.input,
        *inferred.graph.output,
    ]
    return {value.name: value.type.tensor_type.elem_type for value in values}


def _cast(source: str, name: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [name], name=name, to=to)
