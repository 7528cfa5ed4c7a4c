"""A graph's constant tensors: as long as they claim, and nowhere but in the bundle's listed files."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import Final

from protos.manifest import Manifest
from server.config import ModelFiles
from server.first_sight.onnx_wire import Damaged, Message, Walk
from server.first_sight.texts import shown

DTYPES: Final = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "uint16": 4,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "float64": 11,
    "uint32": 12,
    "uint64": 13,
    "bfloat16": 16,
    "uint4": 21,
    "int4": 22,
}
"""ONNX's numbers of the element types that a tensor may have."""
_BITS: Final = dict(
    zip(DTYPES.values(), (32, 8, 8, 16, 16, 32, 64, 8, 16, 64, 32, 64, 16, 4, 4), strict=True)
)
_TYPED: Final = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
_EXTERNAL: Final = 1
_DAMAGED: Final = "the file is damaged, export it again"


class Tensors:
    """Checks the tensors of one graph, and counts them."""

    def __init__(self, bundle: Path, graph: str, manifest: Manifest, limits: ModelFiles) -> None:
        self.walk = Walk()
        self._bundle = bundle
        self._graph = graph
        self._listed = {entry.path for entry in manifest.files}
        self._limits = limits
        self._count = 0

    def check(self, data: memoryview) -> str:
        """Check one tensor; return its name.

        Raises:
            Damaged: it breaks a rule.
        """
        limits = self._limits
        self._count += 1
        if self._count > limits.tensors_max:
            raise Damaged(f"it has more than {limits.tensors_max} tensors (model_files.tensors_max)")
        tensor = self.walk.read(data, "Tensor")
        name = f"the tensor {shown(tensor.text('name'))}"
        dims = tensor.numbers("dims", limits.rank_max)
        if len(dims) > limits.rank_max:
            raise Damaged(f"{name} has more than {limits.rank_max} axes (model_files.rank_max)")
        if any(size < 0 for size in dims):
            raise Damaged(f"{name} has an axis of negative size; {_DAMAGED}")
        elements = math.prod(dims)
        if elements > limits.elements_max:
            raise Damaged(
                f"{name} has {elements:.3g} elements; model_files.elements_max is {limits.elements_max:.3g}"
            )
        bits = _BITS.get(tensor.number("data_type"))
        if bits is None or tensor.has("segment", "string_data"):
            raise Damaged(
                f"{name} has elements of type {tensor.number('data_type')}, which is not served; {_DAMAGED}"
            )
        self._check_data(tensor, name, elements, -(-elements * bits // 8))
        return tensor.text("name")

    def _check_data(self, tensor: Message, name: str, elements: int, size: int) -> None:
        if tensor.number("data_location") == _EXTERNAL or tensor.has("external_data"):
            if tensor.number("data_location") != _EXTERNAL or tensor.has("raw_data", *_TYPED):
                raise Damaged(f"{name} has its elements in two places; {_DAMAGED}")
            self._check_external(tensor, name, size)
        elif tensor.has("raw_data"):
            if tensor.size("raw_data") != size or tensor.has(*_TYPED):
                raise Damaged(f"{name} claims {size} bytes and has {tensor.size('raw_data')}; {_DAMAGED}")
        else:
            count = sum(tensor.count(field) for field in _TYPED)
            if count not in (elements, size):  # int4 and uint4 share a number in pairs
                raise Damaged(f"{name} claims {elements} elements and has {count}; {_DAMAGED}")

    def _check_external(self, tensor: Message, name: str, size: int) -> None:
        """The weights lie in a file of the bundle, listed with its hash, beside the graph or below it."""
        entries = [self.walk.read(part, "Entry") for part in tensor.parts("external_data")]
        fields = {entry.text("key"): entry.text("value") for entry in entries}
        if len(fields) != len(entries) or fields.keys() - {"location", "offset", "length", "checksum"}:
            raise Damaged(f"{name} says where its weights are in unknown or repeated words; {_DAMAGED}")
        location = fields.get("location", "")
        relative = PurePosixPath(location)
        if not location.isprintable() or "\\" in location or relative.is_absolute() or ".." in relative.parts:
            raise Damaged(
                f"{name} has its weights in {shown(location)}, which is not a relative path inside the bundle"
            )
        inside = PurePosixPath(self._graph).parent / relative
        if str(inside) not in self._listed:
            raise Damaged(f"{name} has its weights in {shown(str(inside))}, which bundle.json does not list")
        if any((self._bundle / part).is_symlink() for part in (inside, *inside.parents) if part.parts):
            raise Damaged(f"{name} has its weights behind a link, {inside}; put the file itself there")
        file = self._bundle / inside
        if not file.is_file():
            raise Damaged(f"{name} has its weights in {inside}, which is missing; copy the whole bundle")
        offset, length = _number(fields.get("offset", "0")), _number(fields.get("length", str(size)))
        if offset is None or length != size or offset + size > file.stat().st_size:
            raise Damaged(f"{name} claims {size} bytes of {inside} where they are not; {_DAMAGED}")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
