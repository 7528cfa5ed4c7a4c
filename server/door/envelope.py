"""StreamRequest and StreamResponse: an id around a body that stays bytes."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Literal

from google.protobuf.message import DecodeError

from podium.v1 import ranking_pb2 as pb
from protos.varint import read_varint, varint

ABOUT_THE_STREAM: Final = 0
"""The id of what concerns no request."""

_ID: Final = 0x08
"""Tag of `id` in both messages: field 1, varint."""
_RANK: Final = 0x12
"""Tag of StreamRequest.rank: field 2, length-delimited."""
_TAGS: Final = {"ranked": b"\x12", "refused": b"\x1a"}
"""Of StreamResponse's bodies: fields 2 and 3, length-delimited."""


class UnreadableError(Exception):
    """A message that is no StreamRequest with a body. One sentence.

    Attributes:
        number: its id; ABOUT_THE_STREAM if that cannot be read either.
    """

    def __init__(self, number: int, sentence: str) -> None:
        super().__init__(sentence)
        self.number = number


def read(data: bytes | memoryview) -> tuple[int, bytes | memoryview | None]:
    """A StreamRequest's id, and its RankRequest's bytes or None for a Cancel.

    By hand where it is written as every client writes it, so that the request is read only once; by the
    library otherwise.

    Raises:
        UnreadableError: it is none, or has no body.
    """
    with suppress(ValueError, IndexError):
        if data[0] == _ID:
            number, at = read_varint(data, 1)
            if data[at] == _RANK:
                length, at = read_varint(data, at + 1)
                if at + length == len(data):
                    return number, data[at:]
    try:
        message = pb.StreamRequest.FromString(data)
    except DecodeError:
        sentence = "The message is not a podium.v1.StreamRequest."
        raise UnreadableError(ABOUT_THE_STREAM, sentence) from None
    body = message.WhichOneof("body")
    if body is None:
        raise UnreadableError(message.id, "The message has no body: it neither ranks nor cancels.")
    return message.id, message.rank.SerializeToString() if body == "rank" else None


def response(number: int, kind: Literal["ranked", "refused"], body: bytes) -> bytes:
    """A StreamResponse around a message that is bytes already."""
    return b"\x08" + varint(number) + _TAGS[kind] + varint(len(body)) + body
