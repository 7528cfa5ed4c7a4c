"""KServe v2 (`inference.GRPCInferenceService`) messages by hand: what the peers' own protocol needs here.

By hand because the published stubs pin a protobuf of their own, and two messages are all that is sent:
ModelInferRequest with raw contents, ModelInferResponse with raw contents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from protos.varint import varint

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_RAW_OUTPUT = 6
"""Field of ModelInferResponse: one entry per output."""


class WireError(ValueError):
    """The bytes are not a ModelInferResponse with raw contents."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input.

    Attributes:
        datatype: KServe's name, as INT64.
        data: little-endian, C order; of BYTES, elements behind four bytes of length each.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes


def element(data: bytes) -> bytes:
    """One element of a BYTES tensor."""
    return len(data).to_bytes(4, "little") + data


def infer_request(model: str, inputs: Sequence[Tensor]) -> bytes:
    """A ModelInferRequest for the model's default version."""
    parts = [_field(1, model.encode())]
    for one in inputs:
        shape = b"".join(varint(size) for size in one.shape)
        described = _field(1, one.name.encode()) + _field(2, one.datatype.encode()) + _field(3, shape)
        parts.append(_field(5, described))
    parts += [_field(7, one.data) for one in inputs]
    return b"".join(parts)


def raw_outputs(response: bytes) -> list[bytes]:
    """The outputs' contents of a ModelInferResponse, in its order.

    Raises:
        WireError: there are none, or the bytes are no message.
    """
    found = [value for number, value in _fields(response) if number == _RAW_OUTPUT]
    if not found:
        raise WireError("the answer has no raw output")
    return found


def _field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | _BYTES) + varint(len(data)) + data


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Every length-delimited field; numbers are skipped."""
    at = 0
    while at < len(message):
        tag, at = _read(message, at)
        kind = tag & 7
        if kind == _BYTES:
            size, at = _read(message, at)
            if at + size > len(message):
                raise WireError("the answer ends inside a field")
            yield tag >> 3, message[at : at + size]
            at += size
        elif kind == _VARINT:
            _, at = _read(message, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise WireError(f"the answer has a field of wire type {kind}")


def _read(message: bytes, at: int) -> tuple[int, int]:
    """A varint and where it ends."""
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise WireError("the answer ends inside a number")
        byte = message[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at
