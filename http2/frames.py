"""HTTP/2 frames (RFC 9113), as much as gRPC needs. Bytes in, values out; no I/O."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

DATA, HEADERS, PRIORITIES, RST_STREAM, SETTINGS, PUSH_PROMISE = 0, 1, 2, 3, 4, 5
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 2, 3, 4, 5
MAX_HEADER_LIST_SIZE = 6
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = (
    0,
    1,
    2,
    3,
    5,
    6,
)
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 8, 9, 11
"""Error codes (RFC 9113, section 7)."""

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW_INITIAL: Final = 65_535
WINDOW_MAX: Final = (1 << 31) - 1
FRAME_INITIAL: Final = 16_384
HEAD_BYTES: Final = 9
CONTROL_BYTES_MAX: Final = 32 << 10
"""Longest frame that is not DATA. Such a frame is kept until it is whole; none that we know needs as much."""
_HEAD: Final = struct.Struct(">HBBBI")
_LENGTHS: Final = {PRIORITIES: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
"""Of the kinds that have only one."""


class Frame(NamedTuple):
    """One frame. Padding and priority are gone from `payload`; `size` is what flow control counts."""

    kind: int
    flags: int
    stream: int
    payload: bytes | memoryview
    size: int


class ProtocolError(Exception):
    """The peer does not speak HTTP/2 as it should. One sentence, and the error code to close with."""

    def __init__(self, sentence: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(sentence)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return head(len(payload), kind, flags, stream) + payload


def head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """The nine bytes before a payload of so many bytes."""
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream)


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in values.items()))


def window_update(stream: int, more: int) -> bytes:
    """Allow the peer so many more bytes."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", more))


def reset(stream: int, code: int) -> bytes:
    """End a stream at once."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last_stream: int, code: int) -> bytes:
    """Take no stream after this one; with a code other than NO_ERROR, the connection ends."""
    return frame(GOAWAY, 0, 0, struct.pack(">II", last_stream, code))


class Reader:
    """Cuts a byte stream into frames.

    DATA is handed on as it comes, in pieces that are frames themselves: to HTTP/2 one long frame and several
    short ones are the same, and a long message is not copied to be waited for.
    """

    def __init__(self, data_bytes_max: int) -> None:
        self._kept = b""
        self._data_bytes_max = data_bytes_max
        self._piece = Frame(DATA, 0, 0, b"", 0)
        self._left = 0
        """Bytes still to come of the DATA frame that `_piece` began, and how many of them pad it."""
        self._padding = 0

    def feed(self, data: bytes | memoryview) -> Iterator[Frame]:
        """Every frame, or piece of one, that is there by now. Payloads are slices of `data`.

        Raises:
            ProtocolError: a frame is longer than allowed, or not as long as its kind must be, or its padding
                is longer than itself.
        """
        if self._kept:
            data = b"".join((self._kept, data))
            self._kept = b""
        at, end = 0, len(data)
        if self._left:
            at = min(self._left, end)
            yield self._next_piece(data[:at])
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            length, stream = high << 8 | low, stream & WINDOW_MAX
            if length > (self._data_bytes_max if kind == DATA else CONTROL_BYTES_MAX):
                raise ProtocolError(f"a frame of {length} bytes", FRAME_SIZE_ERROR)
            if kind > HEADERS and length != _LENGTHS.get(kind, length):
                raise ProtocolError("a frame that is not as long as its kind demands", FRAME_SIZE_ERROR)
            begin, at = at + HEAD_BYTES, at + HEAD_BYTES + length
            if at > end:
                if kind == DATA and (begin < end or not flags & PADDED):
                    self._piece, self._left, self._padding = Frame(kind, flags, stream, b"", 0), length, 0
                    if flags & PADDED:
                        self._padding = data[begin]
                        if self._padding >= length:
                            raise ProtocolError("more padding than frame")
                    if begin < end:
                        yield self._next_piece(data[begin:end], padded=bool(flags & PADDED))
                    return
                at = begin - HEAD_BYTES
                break
            payload = data[begin:at]
            if flags & (PADDED | PRIORITY) and kind in (DATA, HEADERS):
                payload = _bare(kind, flags, payload)
            yield Frame(kind, flags, stream, payload, length)
        self._kept = bytes(data[at:])

    def _next_piece(self, payload: bytes | memoryview, *, padded: bool = False) -> Frame:
        """What these bytes are of a frame; the first one of a padded frame is its padding's length."""
        size = len(payload)
        self._left -= size
        flags = 0 if self._left else self._piece.flags
        if self._left < self._padding:
            payload = payload[: max(size - self._padding + self._left, 0)]
        return Frame(DATA, flags, self._piece.stream, payload[1:] if padded else payload, size)


def pairs(payload: bytes | memoryview) -> Iterator[tuple[int, int]]:
    """The settings in a SETTINGS payload."""
    return struct.iter_unpack(">HI", payload[: len(payload) // 6 * 6])


def number(payload: bytes | memoryview, at: int = 0) -> int:
    """A 31-bit number.

    Raises:
        ProtocolError: the payload is too short.
    """
    if len(payload) < at + 4:
        raise ProtocolError("a frame that is not as long as its kind demands", FRAME_SIZE_ERROR)
    return int.from_bytes(payload[at : at + 4], "big") & WINDOW_MAX


def _bare(kind: int, flags: int, payload: bytes | memoryview) -> bytes | memoryview:
    padding = 0
    if flags & PADDED:
        if not payload:
            raise ProtocolError("a padded frame without its padding's length")
        padding, payload = payload[0], payload[1:]
    if kind == HEADERS and flags & PRIORITY:
        if len(payload) < _LENGTHS[PRIORITIES]:
            raise ProtocolError("a frame that is not as long as its kind demands", FRAME_SIZE_ERROR)
        payload = payload[_LENGTHS[PRIORITIES] :]
    if padding > len(payload):
        raise ProtocolError("more padding than frame")
    return payload[: len(payload) - padding]
