"""gRPC's messages inside an HTTP/2 stream: a prefix of five bytes, then the message (PROTOCOL-HTTP2.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

PREFIX: Final = 5
"""One byte of flags (0 = not compressed), four bytes of length."""
SMALL: Final = 1024
"""Shorter pieces are gathered: a message that dribbles in byte by byte must not cost an object for each."""


class MessageError(Exception):
    """The stream holds no message that can be taken. One sentence."""


class TooLongError(MessageError):
    """A message is longer than allowed."""


class CompressedError(MessageError):
    """A message is compressed, though no compression was offered."""


def prefixed(message: bytes) -> bytes:
    """A message as it travels."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class MessageReader:
    """Cuts one direction of one stream into messages; keeps no more than one message that is not whole."""

    __slots__ = ("_bytes_max", "_need", "_parts", "held")

    def __init__(self, bytes_max: int) -> None:
        self.held = 0
        """Bytes of a message that is not whole yet."""
        self._parts: list[bytes | bytearray] = []
        self._need = PREFIX
        """Bytes, prefix included, after which there is something to see."""
        self._bytes_max = bytes_max

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """Every message that is whole by now, as views of the bytes that it came in.

        Raises:
            TooLongError, CompressedError: of no more use after it.
        """
        if self.held:
            self._keep(data)
            if self.held < self._need:
                return
            data = b"".join(self._parts)
            self._parts.clear()
            self.held = 0
        at, end = 0, len(data)
        while end - at >= PREFIX:
            size = self._size(data, at)
            if end - at < PREFIX + size:
                break
            at += PREFIX + size
            yield memoryview(data)[at - size : at]
        if at < end:
            rest = data[at:] if at else data
            self._need = PREFIX + self._size(rest, 0) if len(rest) >= PREFIX else PREFIX
            self._keep(rest)

    def _keep(self, data: bytes) -> None:
        self.held += len(data)
        if len(data) >= SMALL:
            self._parts.append(data)
        elif self._parts and isinstance(self._parts[-1], bytearray):
            self._parts[-1] += data
        else:
            self._parts.append(bytearray(data))

    def _size(self, data: bytes, at: int) -> int:
        if data[at]:
            raise CompressedError("The message is compressed; this server takes identity only.")
        size = int.from_bytes(data[at + 1 : at + PREFIX], "big")
        if size > self._bytes_max:
            raise TooLongError(f"The message has {size} bytes; {self._bytes_max} are allowed.")
        return size
