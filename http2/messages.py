"""gRPC's messages inside an HTTP/2 stream: a prefix of five bytes, then the message (PROTOCOL-HTTP2.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

PREFIX: Final = 5
"""One byte of flags (0 = not compressed), four bytes of length."""
_BEGIN_BYTES: Final = 4096
"""Memory that the first byte of a message gets, if the message is as long."""


@dataclass(slots=True)
class Room:
    """Bytes of requests that a process holds, whole or in part; shared by all its connections."""

    bytes_max: int
    used: int = 0

    @property
    def full(self) -> bool:
        """No further request should be begun."""
        return self.used > self.bytes_max


class MessageError(Exception):
    """The stream holds no message that can be taken. One sentence."""


class TooLongError(MessageError):
    """A message is longer than allowed."""


class CompressedError(MessageError):
    """A message is compressed, though no compression was offered."""


class NoRoomError(MessageError):
    """There is no room to wait for the rest of a message."""


class SlowError(MessageError):
    """The rest of a message does not come."""


def prefixed(message: bytes) -> bytes:
    """A message as it travels."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class MessageReader:
    """Cuts one direction of one stream into messages; keeps no more than one message that is not whole.

    A message that comes in pieces is put together where it stays: one copy, into memory of its own. What a
    peer says that it will send costs nobody anything: of a long message there is never more memory, touched
    or not, than four times what has come of it, so one whose first quarter comes at once is not moved.
    """

    __slots__ = ("_bytes_max", "_have", "_message", "_prefix", "_room", "_size", "_waited")

    def __init__(self, bytes_max: int, room: Room) -> None:
        self._bytes_max = bytes_max
        self._room = room
        self._prefix = b""
        self._message: memoryview | None = None
        self._have = self._size = 0
        self._waited = False

    @property
    def between(self) -> bool:
        """Nothing of a message has come that is not whole."""
        return self._message is None and not self._prefix

    def close(self) -> None:
        """Give back what is held."""
        if self._message is not None:
            self._room.used -= len(self._message)
            self._message = None

    def wait(self) -> None:
        """Called now and then, at the same distance in time.

        Raises:
            SlowError: the last call saw the beginning of a message that is not whole yet; of no more use.
        """
        if self._waited and not self.between:
            raise SlowError("The rest of the message did not come.")
        self._waited = not self.between

    def feed(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """Every message that is whole by now; none refers to `data`.

        Raises:
            TooLongError, CompressedError, NoRoomError: of no more use after it.
        """
        at, end = 0, len(data)
        while at < end:
            if self._message is None:
                missing = PREFIX - len(self._prefix)
                prefix = self._prefix + bytes(data[at : at + missing])
                at += missing
                if at > end:
                    self._prefix = prefix
                    return
                self._prefix = b""
                size = self._begin(prefix)
                if end - at >= size:
                    at += size
                    yield bytes(data[at - size : at])
                    continue
            begin, size = self._have, min(self._size - self._have, end - at)
            message, self._have = self._grown(begin + size), begin + size
            message[begin : self._have] = data[at : at + size]
            at += size
            if self._have == self._size:
                self.close()
                yield message

    def _grown(self, needed: int) -> memoryview:
        """The message's memory, with room for so many bytes."""
        old = self._message
        if old is not None and len(old) >= needed:
            return old
        if self._room.full:
            raise NoRoomError(f"Requests under way hold more than {self._room.bytes_max} bytes.")
        new = np.empty(min(self._size, max(_BEGIN_BYTES, 4 * needed)), np.uint8).data
        if old is not None:
            new[: len(old)] = old
            self._room.used -= len(old)
        self._room.used += len(new)
        self._message = new
        return new

    def _begin(self, prefix: bytes) -> int:
        """The size of the message that begins."""
        if prefix[0]:
            raise CompressedError("The message is compressed; this server takes identity only.")
        size = int.from_bytes(prefix[1:], "big")
        if size > self._bytes_max:
            raise TooLongError(f"The message has {size} bytes; {self._bytes_max} are allowed.")
        self._have, self._size, self._waited = 0, size, False
        return size
