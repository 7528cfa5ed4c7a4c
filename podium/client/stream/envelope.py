"""The stream's messages: what goes around a RankRequest, and what a StreamResponse says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from podium.client.refused import RankRefused
from podium.v1 import ranking_pb2 as pb
from podium.v1 import refusal

_ID: Final = b"\x08"
"""Tag of StreamRequest.id: field 1, varint."""
_RANK: Final = b"\x12"
"""Tag of StreamRequest.rank: field 2, length-delimited."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What the server says of the stream itself.

    Attributes:
        in_flight_max: how many requests may be unanswered; 0 = not said.
        draining: it asks the client to move on.
    """

    in_flight_max: int
    draining: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request ended."""

    id: int
    outcome: pb.RankResponse | RankRefused


def rank(number: int, request: bytes) -> bytes:
    """A StreamRequest around a RankRequest's bytes, which are copied once and not read again."""
    return b"".join((_ID, _varint(number), _RANK, _varint(len(request)), request))


def cancel(number: int) -> bytes:
    """A StreamRequest that takes request `number` back."""
    data: bytes = pb.StreamRequest(id=number, cancel=pb.Cancel()).SerializeToString()
    return data


def read(data: bytes) -> Notice | Answer:
    """What a StreamResponse says.

    Raises:
        ValueError: it is none, or speaks of the stream and is no notice.
    """
    try:
        said = pb.StreamResponse.FromString(data)
    except DecodeError as error:
        raise ValueError("the server sent what is not a podium.v1.StreamResponse") from error
    body = said.WhichOneof("body")
    if said.id == 0:
        if body != "notice":
            raise ValueError(f"the server sent {body or 'nothing readable'} about the stream itself")
        return Notice(said.notice.in_flight_max, said.notice.draining)
    if body == "ranked":
        return Answer(said.id, said.ranked)
    if body == "refused":
        return Answer(said.id, RankRefused.in_band(said.refused))
    sentence = f"The server answered with {body or 'nothing readable'}."
    return Answer(said.id, RankRefused(grpc.StatusCode.INTERNAL, sentence, refusal.RefusalDetails()))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
