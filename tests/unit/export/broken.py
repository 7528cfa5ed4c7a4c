"""Graphs broken on purpose, one way each: what a gate must refuse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

HEAD = "watch"


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def with_last_step(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], constants: dict[str, np.ndarray]
) -> onnx.ModelProto:
    """The graph with more nodes between its score (now "raw") and its output."""
    broken = copy_of(model)
    for node in broken.graph.node:
        for at, name in enumerate(node.output):
            if name == HEAD:
                node.output[at] = "raw"
    broken.graph.node.extend(nodes)
    broken.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in constants.items())
    return broken


def scaled(model: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """Every score multiplied: a dropped or wrong scale."""
    node = helper.make_node("Mul", ["raw", "factor"], [HEAD])
    return with_last_step(model, [node], {"factor": np.array(factor, np.float32)})


def rounded(model: onnx.ModelProto, step: float) -> onnx.ModelProto:
    """Scores rounded to multiples of `step`: precision lost, order and all."""
    nodes = [
        helper.make_node("Div", ["raw", "step"], ["steps"]),
        helper.make_node("Round", ["steps"], ["whole"]),
        helper.make_node("Mul", ["whole", "step"], [HEAD]),
    ]
    return with_last_step(model, nodes, {"step": np.array(step, np.float32)})


def first_two_swapped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The first two candidates get each other's score."""
    nodes = [
        helper.make_node("Slice", ["raw", "zero", "one"], ["first"]),
        helper.make_node("Slice", ["raw", "one", "two"], ["second"]),
        helper.make_node("Slice", ["raw", "two", "end"], ["others"]),
        helper.make_node("Concat", ["second", "first", "others"], [HEAD], axis=0),
    ]
    constants = {"zero": [0], "one": [1], "two": [2], "end": [1 << 40]}
    return with_last_step(model, nodes, {k: np.array(v, np.int64) for k, v in constants.items()})


def baked(model: onnx.ModelProto, candidates: int) -> onnx.ModelProto:
    """A batch size inside the graph that the declared shapes do not show."""
    node = helper.make_node("Reshape", ["raw", "baked"], [HEAD])
    return with_last_step(model, [node], {"baked": np.array([candidates], np.int64)})


def declared(model: onnx.ModelProto, value: str, size: int) -> onnx.ModelProto:
    """An input whose declared leading size is a number."""
    broken = copy_of(model)
    for entry in broken.graph.input:
        if entry.name == value:
            entry.type.tensor_type.shape.dim[0].dim_value = size
    return broken


def dynamic_int8(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """ONNX Runtime's own dynamic quantisation: one activation scale per batch."""
    plain, quantized = folder / "plain.onnx", folder / "dynamic.onnx"
    onnx.save(model, plain)
    quantize_dynamic(plain, quantized, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
    return onnx.load(quantized)
