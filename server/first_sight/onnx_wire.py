"""The messages of an ONNX file, walked on their bytes: strict, without a copy or the onnx package.

Why by hand: protobuf keeps what it does not know, merges what comes twice and copies gigabytes of weights;
here a field that ONNX does not have is a fault, and weights are a length. Numbers: onnx.proto, IR 13.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from protos.varint import read_varint

FIELDS_MAX: Final = 2_000_000
"""Of one file, weights not counted; a graph of 50,000 nodes has about a million."""
_NUMBER_MAX: Final = (1 << 29) - 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZE: Final = {_FIXED64: 8, _FIXED32: 4}

Value = int | memoryview
"""Varints are numbers below 2**64; everything else is its bytes."""


class Damaged(Exception):
    """The bytes are no message of this kind. The end of a sentence about the file."""


class Field(NamedTuple):
    """A field of a message: name, wire type of one value, and whether there may be many."""

    name: str
    wire: int
    many: bool = False


def _table(rows: str) -> Mapping[int, Field]:
    """`NUMBER NAME WIRE[*]`, comma-separated; v, b, 4, 8 are the wire types, * is repeated."""
    wires = {"v": _VARINT, "b": _BYTES, "4": _FIXED32, "8": _FIXED64}
    found = {}
    for row in rows.split(","):
        number, name, wire = row.split()
        found[int(number)] = Field(name, wires[wire[0]], wire.endswith("*"))
    return found


MESSAGES: Final[Mapping[str, Mapping[int, Field]]] = {
    "Model": _table(
        "1 ir_version v, 2 producer_name b, 3 producer_version b, 4 domain b, 5 model_version v,"
        "6 doc_string b,"
        "7 graph b, 8 opset_import b*, 14 metadata_props b*, 20 training_info b*, 25 functions b*,"
        "26 configuration b*"
    ),
    "OperatorSet": _table("1 domain b, 2 version v"),
    "Entry": _table("1 key b, 2 value b"),
    "Graph": _table(
        "1 node b*, 2 name b, 5 initializer b*, 10 doc_string b, 11 input b*, 12 output b*, 13 value_info b*,"
        "14 quantization_annotation b*, 15 sparse_initializer b*, 16 metadata_props b*"
    ),
    "Node": _table(
        "1 input b*, 2 output b*, 3 name b, 4 op_type b, 5 attribute b*, 6 doc_string b, 7 domain b,"
        "8 overload b, 9 metadata_props b*, 10 device_configurations b*"
    ),
    "Attribute": _table(
        "1 name b, 2 f 4, 3 i v, 4 s b, 5 t b, 6 g b, 7 floats 4*, 8 ints v*, 9 strings b*, 10 tensors b*,"
        "11 graphs b*, 13 doc_string b, 14 tp b, 15 type_protos b*, 20 type v, 21 ref_attr_name b,"
        "22 sparse_tensor b, 23 sparse_tensors b*"
    ),
    "Tensor": _table(
        "1 dims v*, 2 data_type v, 3 segment b, 4 float_data 4*, 5 int32_data v*, 6 string_data b*,"
        "7 int64_data v*, 8 name b, 9 raw_data b, 10 double_data 8*, 11 uint64_data v*, 12 doc_string b,"
        "13 external_data b*, 14 data_location v, 16 metadata_props b*"
    ),
    "Value": _table("1 name b, 2 type b, 3 doc_string b, 4 metadata_props b*"),
    "Type": _table(
        "1 tensor_type b, 4 sequence_type b, 5 map_type b, 6 denotation b, 7 opaque_type b,"
        "8 sparse_tensor_type b, 9 optional_type b"
    ),
    "TensorType": _table("1 elem_type v, 2 shape b"),
    "Shape": _table("1 dim b*"),
    "Dimension": _table("1 dim_value v, 2 dim_param b, 3 denotation b"),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message whose own fields are known; messages in it are bytes still."""

    values: Mapping[str, list[Value]]

    def number(self, name: str, absent: int = 0) -> int:
        """A field of one integer; `absent` when it is not there."""
        value = self.values.get(name, [absent])[0]
        return value if isinstance(value, int) else absent

    def text(self, name: str) -> str:
        """A field of text; "" when it is not there.

        Raises:
            Damaged: it is not UTF-8.
        """
        found = self.parts(name)
        try:
            return bytes(found[0]).decode() if found else ""
        except UnicodeDecodeError:
            raise Damaged(f"its {name} is not UTF-8") from None

    def has(self, *names: str) -> bool:
        """Whether one of these fields is there."""
        return any(name in self.values for name in names)

    def parts(self, name: str) -> list[memoryview]:
        """The values of a field of messages, bytes or packed numbers, as bytes."""
        return [value for value in self.values.get(name, []) if isinstance(value, memoryview)]

    def size(self, name: str) -> int:
        """Bytes of a field of bytes, all its values together."""
        return sum(len(part) for part in self.parts(name))

    def numbers(self, name: str, most: int) -> list[int]:
        """Signed integers of a repeated field, packed or not; `most + 1` of them at most.

        Raises:
            Damaged: they are no integers.
        """
        found: list[int] = []
        for value in self.values.get(name, [])[: most + 1]:
            found += [value] if isinstance(value, int) else _varints(value, most + 1)
        return [number - (1 << 64) if number >> 63 else number for number in found[: most + 1]]

    def count(self, name: str) -> int:
        """How many values a repeated field of numbers has, packed or not."""
        wide = {"float_data": 4, "double_data": 8}.get(name)
        total = 0
        for value in self.values.get(name, []):
            if isinstance(value, int):
                total += 1
            elif wide is not None:
                total += len(value) // wide
            else:
                total += int(np.count_nonzero(np.frombuffer(value, np.uint8) < 0x80))
        return total


class Walk:
    """Reads the messages of one file, and counts their fields."""

    def __init__(self, fields_max: int = FIELDS_MAX) -> None:
        self._fields_max = self._left = fields_max

    def read(self, data: memoryview, kind: str) -> Message:
        """Read one message's own fields.

        Args:
            kind: a key of `MESSAGES`.

        Raises:
            Damaged: a field is cut off, unknown, of another wire type, or given twice.
        """
        table = MESSAGES[kind]
        values: dict[str, list[Value]] = {}
        for number, wire, value in self._fields(data):
            field = table.get(number)
            if field is None:
                raise Damaged(f"it has a field {number} of {kind} that ONNX does not have")
            if wire != field.wire and not (field.many and wire == _BYTES):
                raise Damaged(f"its {kind}.{field.name} has another wire type")
            if field.name in values and not field.many:
                raise Damaged(f"its {kind}.{field.name} is given twice")
            values.setdefault(field.name, []).append(value)
        return Message(values)

    def _fields(self, data: memoryview) -> Iterator[tuple[int, int, Value]]:
        at = 0
        while at < len(data):
            self._left -= 1
            if self._left < 0:
                raise Damaged(f"it has more than {self._fields_max} fields")
            try:
                key, at = read_varint(data, at)
                number, wire = key >> 3, key & 7
                if not 1 <= number <= _NUMBER_MAX:
                    raise ValueError
                if wire == _VARINT:
                    value, at = read_varint(data, at)
                    yield number, wire, value
                    continue
                size, at = read_varint(data, at) if wire == _BYTES else (_FIXED_SIZE[wire], at)
            except (ValueError, KeyError):
                raise Damaged("its bytes are no protobuf message") from None
            if size > len(data) - at:
                raise Damaged("it is cut off")
            yield number, wire, data[at : at + size]
            at += size


def _varints(data: memoryview, most: int) -> list[int]:
    found: list[int] = []
    at = 0
    while at < len(data) and len(found) < most:
        try:
            number, at = read_varint(data, at)
        except ValueError:
            raise Damaged("its numbers are cut off") from None
        found.append(number)
    return found
