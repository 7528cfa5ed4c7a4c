"""PyTorch to ONNX: trace the serving module with symbolic R and N, and strip what must not leave the house.

Rules: string dynamic dimensions (they raise where the model specialises; `Dim.AUTO` silently bakes a size
in); example sizes >= 2 and unlike every other size in the model (sizes 0 and 1 are specialised, equal sizes
are merged); ragged axes of contexts are fixed at their maximum, because the server always pads to it; a
length axis of candidates stays symbolic, because it never does.
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
from export.modules import ServingModule
from export.spec import Array, ExportSpec

OPSET = 20
GRAPH_BYTES_MAX = 1_500_000_000
"""protobuf ends at 2 GB; a graph near that needs external data, which bundles do not carry."""

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


class ExportFailed(Exception):
    """The model cannot be turned into a graph. One sentence."""


def trace(spec: ExportSpec, codec: Codec, example: Encoded) -> onnx.ModelProto:
    """Export the ranker as one graph; inputs and outputs carry the spec's names.

    Args:
        example: any request; its values are repeated to the example sizes.

    Raises:
        ExportFailed: tracing failed or specialised a dimension, or the graph is too large.
    """
    module = ServingModule(spec, codec).eval()
    rows, candidates, tokens = _example_sizes(spec, module)
    feeds = _example_feeds(codec, example, rows, candidates, tokens)
    tensors = {name: torch.from_numpy(feeds[name]) for name in codec.input_names}
    symbols = {name: dict(enumerate(_named_axes(codec, name))) for name in codec.input_names}

    def replay(more: int) -> object:
        other = _example_feeds(codec, example, rows + more, candidates + more, tokens)
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


def _named_axes(codec: Codec, name: str) -> tuple[str, ...]:
    """Names of an input's leading axes, those that vary."""
    length = (codec.length[0],) if codec.length is not None and name in codec.with_length else ()
    return (axis_of(codec, name), *length)


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


def finish(model: onnx.ModelProto) -> None:
    """Check a graph that is to be written.

    Raises:
        ExportFailed: it is not valid ONNX, or too large to be one file.
    """
    size = model.ByteSize()
    if size > GRAPH_BYTES_MAX:
        raise ExportFailed(
            f"the graph has {size / 1e9:.1f} GB; over {GRAPH_BYTES_MAX / 1e9:.1f} GB it would need external "
            "data, which bundles do not carry: make the embedding tables smaller"
        )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportFailed(f"the exported graph is not valid: {error}") from error


def _example_sizes(spec: ExportSpec, module: ServingModule) -> tuple[int, int, int]:
    taken = {size for tensor in module.state_dict().values() for size in tensor.shape}
    taken |= {size for entry in spec.inputs for size in entry.shape if isinstance(size, int)}
    taken |= set(spec.axes.values())
    free = [prime for prime in _PRIMES if prime not in taken]
    longest = max((spec.axes[axis] for axis in spec.lengths), default=0)
    short = [prime for prime in free[2:] if prime <= longest]
    if len(free) < 2:
        raise ExportFailed("the model's tensors have every small prime as a size: no example size is left")
    if not spec.lengths:
        return free[0], free[1], 0
    if not short:
        raise ExportFailed(
            f"axis {next(iter(spec.lengths))!r} of at most {longest} leaves no example size unlike all other "
            "sizes of the model: make it longer"
        )
    return free[0], free[1], short[0]


def _example_feeds(
    codec: Codec, example: Encoded, rows: int, candidates: int, tokens: int
) -> dict[str, Array]:
    one = codec.feeds([example.take(np.zeros(1, np.int64))])
    one |= {name: np.ascontiguousarray(example.candidates[name][:1, :tokens]) for name in codec.with_length}
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
        for at, wanted in enumerate(_named_axes(codec, entry.name)):
            found = entry.type.tensor_type.shape.dim[at]
            if found.dim_param != wanted:
                raise ExportFailed(
                    f"tracing fixed axis {at} of input {entry.name!r} at "
                    f"{found.dim_value or found.dim_param}; it must stay {wanted}: "
                    "take sizes from tensors, not from Python numbers"
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
