"""Graphs too large for one protobuf: their weights go to a file beside them, which ONNX Runtime maps at load.

protobuf ends at 2 GiB. Nothing here serialises a whole large graph in memory: weights are written tensor by
tensor, aligned to pages, and the graph's file holds their places only.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import onnx
from onnx import TensorProto

from export.failure import ExportFailed

INLINE_BYTES_MAX: Final = 1_500_000_000
"""A graph with more bytes of weights gets a file for them; below protobuf's 2 GiB with room for the rest."""
WEIGHTS_FILE: Final = "weights.bin"
ALIGNED_TO: Final = 4096
"""A page: what is mapped must begin at one."""
SMALL_BYTES: Final = 1024
"""Smaller tensors stay in the graph: shapes and axes are read while it is optimised."""
_ROOM_FACTOR: Final = 1.05
_ROOM_EXTRA: Final = 16 << 20


def weight_bytes(model: onnx.ModelProto) -> int:
    """Bytes of the graph's constants, summed without serialising it."""
    return sum(len(tensor.raw_data) or tensor.ByteSize() for tensor in model.graph.initializer)


def total_bytes(model: onnx.ModelProto) -> int:
    """Bytes of the graph and its weights; where protobuf cannot say it, of the weights alone."""
    size = weight_bytes(model)
    return size if size > INLINE_BYTES_MAX else int(model.ByteSize())


def write(model: onnx.ModelProto, path: Path, inline_bytes_max: int = INLINE_BYTES_MAX) -> None:
    """Write a graph to `path`, and its weights beside it where they are too large to be in it.

    Args:
        inline_bytes_max: most bytes of weights that stay in the graph's file.
    """
    if weight_bytes(model) <= inline_bytes_max:
        path.write_bytes(model.SerializeToString(deterministic=True))
        return
    places: dict[int, tuple[int, int]] = {}
    at = 0
    with (path.parent / WEIGHTS_FILE).open("wb") as file:
        for number, tensor in enumerate(model.graph.initializer):
            data = tensor.raw_data
            if len(data) < SMALL_BYTES:
                continue
            at += -at % ALIGNED_TO
            file.seek(at)
            file.write(data)
            places[number] = at, len(data)
            at += len(data)
    path.write_bytes(_without(model, places).SerializeToString(deterministic=True))


def _without(model: onnx.ModelProto, places: Mapping[int, tuple[int, int]]) -> onnx.ModelProto:
    """The graph with (offset, length) of these initializers instead of their bytes; the given one stays."""
    light = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    light.opset_import.extend(model.opset_import)
    graph = light.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    for number, tensor in enumerate(model.graph.initializer):
        if number not in places:
            graph.initializer.append(tensor)
            continue
        offset, length = places[number]
        place = graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        place.data_location = TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS_FILE), ("offset", str(offset)), ("length", str(length))):
            place.external_data.add(key=key, value=value)
    return light


@contextmanager
def on_disk(model: onnx.ModelProto, inline_bytes_max: int = INLINE_BYTES_MAX) -> Iterator[Path]:
    """A large graph as files in a temporary folder, for tools that cannot take it as one message.

    Raises:
        ExportFailed: the disk of the temporary folder has no room for it.
    """
    with TemporaryDirectory(prefix="podium-graph-") as folder:
        require_room(Path(folder), weight_bytes(model), "a temporary copy of the graph")
        path = Path(folder) / "graph.onnx"
        write(model, path, inline_bytes_max)
        yield path


def require_room(folder: Path, needed_bytes: int, what: str) -> None:
    """Say that the disk is too full before anything is written to it.

    Args:
        folder: where it will be written; need not exist yet.
        needed_bytes: of what will be written; a margin of 5 % and 16 MiB is added.
        what: the sentence's subject.

    Raises:
        ExportFailed: not enough is free.
    """
    existing = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    needed = int(needed_bytes * _ROOM_FACTOR) + _ROOM_EXTRA
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ExportFailed(
            f"not enough disk in {os.fspath(existing)}: {what} needs {needed:,} bytes, {free:,} are free; "
            "free some, or write elsewhere (--out; TMPDIR for temporary copies)"
        )
