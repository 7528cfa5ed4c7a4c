"""PyTorch to ONNX: trace the serving module with symbolic R and N, and strip what must not leave the house.

Rules: string dynamic dimensions (they raise where the model specialises; `Dim.AUTO` silently bakes a size
in); example sizes >= 2 and unlike every other size in the model (sizes 0 and 1 are specialised, equal sizes
are merged); ragged axes are fixed at their maximum, because the server always pads to it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
import torch

from export import diagnose
from export.codec import ROW_TO_CONTEXT, Codec, Encoded
from export.failure import ExportFailed as ExportFailed
from export.modules import ServingModule
from export.servable import require_servable
from export.spec import Array, ExportSpec
from export.weights import INLINE_BYTES_MAX, on_disk, weight_bytes

OPSET = 20

_PRIMES = (
    3,
    5,
    7,
    11,
    13,
    17,
    19,
    23,
    29,
    31,
    37,
    41,
    43,
    47,
    53,
    59,
    61,
    67,
    71,
    73,
    79,
    83,
    89,
    97,
    101,
    103,
)


def trace(spec: ExportSpec, codec: Codec, example: Encoded) -> onnx.ModelProto:
    """Export the ranker as one graph; inputs and outputs carry the spec's names.

    Args:
        example: any request; its values are repeated to the example sizes.

    Raises:
        ExportFailed: tracing failed or specialised a dimension, or the graph is not one that servers load.
    """
    module = ServingModule(spec, codec).eval()
    rows, candidates = _example_sizes(spec, module)
    feeds = _example_feeds(codec, example, rows, candidates)
    tensors = {name: torch.from_numpy(feeds[name]) for name in codec.input_names}
    symbols = {name: {0: axis_of(codec, name)} for name in codec.input_names}

    def replay(more: int) -> object:
        other = _example_feeds(codec, example, rows + more, candidates + more)
        with torch.inference_mode():
            return module({name: torch.from_numpy(array) for name, array in other.items()})

    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)  # it reports every optional package that is not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            program = torch.onnx.export(
                module,
                args=(),
                kwargs={"feeds": tensors},
                dynamic_shapes={"feeds": symbols},
                input_names=list(codec.input_names),
                output_names=list(spec.heads),
                dynamo=True,
                opset_version=OPSET,
                optimize=True,
                verbose=False,
            )
            refused = diagnose.refused_operator(program.exported_program.graph.nodes, replay)
            model = program.model_proto
    except (
        Exception
    ) as error:  # the exporter raises whatever the user's functions raise, wrapped several times
        raise ExportFailed(f"PyTorch could not trace the model: {diagnose.explain(error, replay)}") from error
    finally:
        exporter_log.setLevel(level)
    if refused is not None:
        raise ExportFailed(refused)
    _require_inputs(model, codec)
    strip(model)
    finish(model)
    return model


def axis_of(codec: Codec, name: str) -> str:
    """Name of an input's leading axis."""
    return "R" if name in codec.context_names else "N"


def strip(model: onnx.ModelProto) -> None:
    """Remove stack traces, source paths and doc strings, in place.

    The exporter writes file names and code lines into every node's metadata: a published bundle must not show
    its author's disk.
    """
    _clear(model)
    _clear_graph(model.graph)
    for function in model.functions:
        _clear(function)
        for node in function.node:
            _clear_node(node)
    model.producer_name, model.producer_version = "podium", ""


def finish(model: onnx.ModelProto, inline_bytes_max: int = INLINE_BYTES_MAX) -> None:
    """Check a graph that is to be written.

    Args:
        inline_bytes_max: with more bytes of weights it is checked as files.

    Raises:
        ExportFailed: it is not valid ONNX, has an operator that servers do not load, or there is no room on
            disk to check it.
    """
    require_servable(model)
    try:
        if weight_bytes(model) <= inline_bytes_max:
            onnx.checker.check_model(model, full_check=True)
        else:
            with on_disk(model, inline_bytes_max) as path:
                onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportFailed(f"the exported graph is not valid: {error}") from error


def _example_sizes(spec: ExportSpec, module: ServingModule) -> tuple[int, int]:
    taken = {size for tensor in module.state_dict().values() for size in tensor.shape}
    taken |= {size for entry in spec.inputs for size in entry.shape if isinstance(size, int)}
    taken |= set(spec.axes.values())
    free = [prime for prime in _PRIMES if prime not in taken]
    if len(free) < 2:
        raise ExportFailed("the model's tensors have every small prime as a size: no example size is left")
    return free[0], free[1]


def _example_feeds(codec: Codec, example: Encoded, rows: int, candidates: int) -> dict[str, Array]:
    one = codec.feeds([example.take(np.zeros(1, np.int64))])
    feeds = {
        name: np.repeat(array, rows if axis_of(codec, name) == "R" else candidates, axis=0)
        for name, array in one.items()
    }
    if ROW_TO_CONTEXT in feeds:
        feeds[ROW_TO_CONTEXT] = np.sort(np.arange(candidates, dtype=np.int64) % rows)
    return feeds


def _require_inputs(model: onnx.ModelProto, codec: Codec) -> None:
    given = [entry.name for entry in model.graph.input]
    if given != list(codec.input_names):
        raise ExportFailed(f"the graph has inputs {given}, not {list(codec.input_names)}")
    for entry in model.graph.input:
        first = entry.type.tensor_type.shape.dim[0]
        if first.dim_param != axis_of(codec, entry.name):
            raise ExportFailed(
                f"tracing fixed axis 0 of input {entry.name!r} at {first.dim_value or first.dim_param}; it "
                f"must stay {axis_of(codec, entry.name)}: take sizes from tensors, not from Python numbers"
            )


def _clear_graph(graph: onnx.GraphProto) -> None:
    _clear(graph)
    for node in graph.node:
        _clear_node(node)
    values: Iterable[Any]
    for values in (graph.input, graph.output, graph.value_info, graph.initializer):
        for value in values:
            _clear(value)


def _clear_node(node: onnx.NodeProto) -> None:
    _clear(node)
    for attribute in node.attribute:
        attribute.doc_string = ""
        if attribute.type == onnx.AttributeProto.GRAPH:
            _clear_graph(attribute.g)
        for graph in attribute.graphs:
            _clear_graph(graph)


def _clear(message: Any) -> None:
    message.doc_string = ""
    del message.metadata_props[:]
