"""PyTorch to ONNX: trace the serving module with symbolic R and N, and strip what must not leave the house.

Rules: string dynamic dimensions (they raise where the model specialises; `Dim.AUTO` silently bakes a size
in); example sizes >= 2 and unlike every other size in the model (sizes 0 and 1 are specialised, equal sizes
are merged); ragged axes of contexts are fixed at their maximum, because the server always pads to it; a
length axis of candidates stays symbolic, because it never does.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import torch

from export import diagnose
from export.codec import GRID_INDEX, GRID_POSITION, ROW_TO_CONTEXT, Codec, Encoded
from export.failure import ExportFailed as ExportFailed
from export.fixed_sizes import listening
from export.modules import ServingModule
from export.servable import require_servable
from export.spec import Array, ExportSpec
from export.unpacked import unpacked
from export.weights import INLINE_BYTES_MAX, on_disk, weight_bytes
from protos.grid import EMPTY

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
    *sizes, tokens = _example_sizes(spec, module)
    feeds = _example_feeds(codec, example, sizes, tokens)
    tensors = {name: torch.from_numpy(feeds[name]) for name in codec.input_names}
    symbols = {name: dict(enumerate(axes_of(codec, name))) for name in codec.input_names}

    def replay(more: int) -> object:
        other = _example_feeds(codec, example, [size + more for size in sizes], tokens)
        with torch.inference_mode():
            return module({name: torch.from_numpy(array) for name, array in other.items()})

    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)  # it reports every optional package that is not installed
    try:
        with warnings.catch_warnings(), listening(diagnose.last_users) as specialised, unpacked(module):
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
        raise ExportFailed(
            f"PyTorch could not trace the model: {diagnose.explain(error, replay, specialised.place)}"
        ) from error
    finally:
        exporter_log.setLevel(level)
    if refused is not None:
        raise ExportFailed(refused)
    _require_inputs(model, codec, diagnose.at(specialised.place))
    strip(model)
    finish(model)
    return model


def axes_of(codec: Codec, name: str) -> tuple[str, ...]:
    """Names of an input's leading axes that differ between runs."""
    if name == GRID_INDEX:
        return ("R", "C")
    length = (codec.length[0],) if codec.length is not None and name in codec.with_length else ()
    return ("R",) if name in codec.context_names else ("N", *length)


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


def _example_sizes(spec: ExportSpec, module: ServingModule) -> list[int]:
    """R, N and C, ascending, where C slots of a grid hold N / R candidates and more; then tokens or 0."""
    taken = {size for tensor in module.state_dict().values() for size in tensor.shape}
    taken |= {size for entry in spec.inputs for size in entry.shape if isinstance(size, int)}
    taken |= set(spec.axes.values())
    free = [prime for prime in _PRIMES if prime not in taken]
    longest = max((spec.axes[axis] for axis in spec.lengths), default=0)
    short = [prime for prime in free[3:] if prime <= longest]
    if len(free) < 3:
        raise ExportFailed("the model's tensors have every small prime as a size: no example size is left")
    if spec.lengths and not short:
        raise ExportFailed(
            f"axis {next(iter(spec.lengths))!r} of at most {longest} leaves no example size unlike all other "
            "sizes of the model: make it longer"
        )
    return [*free[:3], short[0] if spec.lengths else 0]


def _example_feeds(codec: Codec, example: Encoded, sizes: Sequence[int], tokens: int) -> dict[str, Array]:
    rows, candidates, slots = sizes
    one = codec.feeds([example.take(np.zeros(1, np.int64))])
    one |= {name: np.ascontiguousarray(example.candidates[name][:1, :tokens]) for name in codec.with_length}
    feeds = {
        name: np.repeat(array, rows if axes_of(codec, name) == ("R",) else candidates, axis=0)
        for name, array in one.items()
        if name not in codec.layout_names
    }
    owner = np.sort(np.arange(candidates, dtype=np.int64) % rows)
    if ROW_TO_CONTEXT in codec.layout_names:
        feeds[ROW_TO_CONTEXT] = owner
    if GRID_INDEX in codec.layout_names:
        # Wider than it need be, so that C is a size of its own.
        position = owner * slots + np.arange(candidates) - np.searchsorted(owner, owner)
        index = np.full(rows * slots, EMPTY, np.int64)
        index[position] = np.arange(candidates)
        feeds[GRID_INDEX], feeds[GRID_POSITION] = index.reshape(rows, slots), position
    return feeds


def _require_inputs(model: onnx.ModelProto, codec: Codec, place: str = "") -> None:
    given = [entry.name for entry in model.graph.input]
    if given != list(codec.input_names):
        raise ExportFailed(f"the graph has inputs {given}, not {list(codec.input_names)}")
    for entry in model.graph.input:
        for at, axis in enumerate(axes_of(codec, entry.name)):
            found = entry.type.tensor_type.shape.dim[at]
            if found.dim_param != axis:
                fixed = found.dim_value or found.dim_param
                raise ExportFailed(
                    f"tracing fixed axis {at} of input {entry.name!r} at {fixed}{place}; it must stay "
                    f"{axis}: take sizes from tensors, not from Python numbers"
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
