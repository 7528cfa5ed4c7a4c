"""A stream's envelopes, put around a body's bytes and taken off them without parsing the body.

podium.v1.StreamRequest and StreamResponse are an id and one body; what a body holds is not looked at. Field
numbers and wire types are the contract's own (`ranking.proto`).
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from google.protobuf.message import Message

from podium.v1 import ranking_pb2 as pb
from protos.varint import read_varint, varint

Body = Literal["ranked", "refused", "notice"]

_VARINT, _BYTES = 0, 2


def _tag(message: type[Message], field: str, wire_type: int) -> int:
    number: int = message.DESCRIPTOR.fields_by_name[field].number
    return number << 3 | wire_type


_ID: Final = bytes([_tag(pb.StreamRequest, "id", _VARINT)])
_RANK: Final = bytes([_tag(pb.StreamRequest, "rank", _BYTES)])
_CANCEL: Final = bytes([_tag(pb.StreamRequest, "cancel", _BYTES), 0])
_ANSWER_ID: Final = _tag(pb.StreamResponse, "id", _VARINT)
_RANKED: Final = bytes([_ANSWER_ID]), bytes([_tag(pb.StreamResponse, "ranked", _BYTES)])
_BODIES: Final[dict[int, Body]] = {
    _tag(pb.StreamResponse, "ranked", _BYTES): "ranked",
    _tag(pb.StreamResponse, "refused", _BYTES): "refused",
    _tag(pb.StreamResponse, "notice", _BYTES): "notice",
}


class Answer(NamedTuple):
    """One StreamResponse.

    Attributes:
        id: 0 = it speaks of the stream.
        kind: which body; None = none that we know.
        body: its bytes.
    """

    id: int
    kind: Body | None
    body: bytes


def rank(number: int, size: int) -> bytes:
    """What goes before a RankRequest of so many bytes, gRPC's prefix included: id `number`, at least 1."""
    inner = _ID + varint(number) + _RANK + varint(size)
    return b"\0" + (len(inner) + size).to_bytes(4, "big") + inner


def cancel(number: int) -> bytes:
    """The whole message that takes a request back, gRPC's prefix included."""
    inner = _ID + varint(number) + _CANCEL
    return b"\0" + len(inner).to_bytes(4, "big") + inner


def answer(message: bytes | memoryview) -> Answer:
    """Take a StreamResponse apart, without gRPC's prefix.

    Raises:
        DecodeError: it is none.
    """
    # As every serializer writes it: id, then the body, which ends the message. Anything else is parsed.
    size, at, number = len(message), 0, 0
    try:
        if message[0] == _ANSWER_ID:
            number, at = read_varint(message, 1)
        kind = _BODIES.get(message[at])
        if kind is not None:
            length, at = read_varint(message, at + 1)
            if at + length == size:
                return Answer(number, kind, bytes(message[at:]))
    except (IndexError, ValueError):
        pass
    return _parsed(bytes(message))


def asked(message: bytes | memoryview) -> int | None:
    """The id of a StreamRequest that ranks; None of any other. For a server that does not look further.

    Raises:
        DecodeError: it is none.
    """
    try:
        if message[0] == _ID[0]:
            number, at = read_varint(message, 1)
            if message[at] == _RANK[0]:
                return number
    except (IndexError, ValueError):
        pass
    found = pb.StreamRequest.FromString(bytes(message))
    return int(found.id) if found.HasField("rank") else None


def ranked(number: int, body: bytes) -> bytes:
    """A StreamResponse around an answer's bytes, gRPC's prefix included."""
    inner = _RANKED[0] + varint(number) + _RANKED[1] + varint(len(body))
    return b"".join((b"\0", (len(inner) + len(body)).to_bytes(4, "big"), inner, body))


def _parsed(message: bytes) -> Answer:
    found = pb.StreamResponse.FromString(message)
    kind: Body | None = found.WhichOneof("body")
    return Answer(found.id, kind, getattr(found, kind).SerializeToString() if kind else b"")
