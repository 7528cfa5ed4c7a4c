"""One gRPC call as a method sees it: messages in, messages and one status out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Final, Protocol

from http2 import headers
from http2.headers import literal
from http2.messages import prefixed

HEAD: Final = headers.encode([(":status", "200"), ("content-type", "application/grpc")])
"""Response headers of every answer."""
OK: Final = headers.encode([("grpc-status", "0")])
"""Trailers of a call that went well."""

Trailers = tuple[tuple[str, str | bytes], ...]


class Wire(Protocol):
    """What a connection does for its calls; a call that is over is ignored."""

    def answer(self, stream: int, message: bytes) -> None:
        """Headers, the only message, status OK."""

    def send(self, stream: int, message: bytes, *, first: bool) -> None:
        """One message, after the headers if it is the first."""

    def end(self, stream: int, trailers: bytes, *, at_once: bool) -> None:
        """The last word: a block of trailers, `at_once` in place of messages that the peer has not read."""

    def unsent_bytes(self, stream: int) -> int:
        """Bytes that the peer does not let us send."""


class Call:
    """The server's side of one call."""

    __slots__ = ("_begun", "_stream", "_wire")

    def __init__(self, wire: Wire, stream: int, *, begun: bool = False) -> None:
        """Args: `begun`: the headers have been sent."""
        self._wire = wire
        self._stream = stream
        self._begun = begun

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the peer does not let us send."""
        return self._wire.unsent_bytes(self._stream)

    def answer(self, message: bytes) -> None:
        """Answer with one message, and end with OK."""
        self._wire.answer(self._stream, prefixed(message))

    def send(self, message: bytes) -> None:
        """Say one message of several."""
        self._wire.send(self._stream, prefixed(message), first=not self._begun)
        self._begun = True

    def finish(self, code: int = 0, message: str = "", trailers: Trailers = ()) -> None:
        """End, with OK unless told otherwise; the peer reads what was sent first."""
        block = _status(code, message, trailers) if code else OK
        self._wire.end(self._stream, block if self._begun else HEAD + block, at_once=False)

    def fail(self, code: int, message: str, trailers: Trailers = ()) -> None:
        """End with a status in place of what the peer has not read.

        Before any message it travels alone, which lets gRPC's own retries work.
        """
        block = _status(code, message, trailers)
        self._wire.end(self._stream, block if self._begun else HEAD + block, at_once=True)


class Handler:
    """A method's side of one call: told what the peer does. Nothing here waits."""

    __slots__ = ()

    def message(self, data: bytes | memoryview) -> None:
        """A message came."""

    def half_closed(self) -> None:
        """No more messages will come."""

    def gone(self) -> None:
        """The peer gave the call up, or has left: nothing more can be said."""

    def draining(self) -> None:
        """The server will leave soon: calls that last should move elsewhere."""

    def leaving(self) -> None:
        """The server leaves: a call ends as soon as all that it accepted is answered."""


Method = Callable[[Call, float | None], Handler]
"""Begins a call; the number is the seconds that the peer's deadline leaves."""


def _status(code: int, message: str, trailers: Trailers) -> bytes:
    """gRPC's trailers (grpc/doc/PROTOCOL-HTTP2.md)."""
    block = literal(b"grpc-status", str(code).encode())
    if message:
        block += literal(b"grpc-message", _percent(message))
    for name, value in trailers:
        block += literal(name.encode(), b64encode(value) if isinstance(value, bytes) else value.encode())
    return block


def _percent(message: str) -> bytes:
    """grpc-message: UTF-8, everything but printable ASCII percent-encoded, and the percent sign too."""
    data = message.encode()
    if message.isascii() and message.isprintable() and b"%" not in data:
        return data
    return b"".join(
        bytes((byte,)) if 0x20 <= byte < 0x7F and byte != 0x25 else b"%%%02X" % byte for byte in data
    )
