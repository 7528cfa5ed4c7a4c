"""One TCP connection: carries bytes between its socket, its HTTP/2 and its calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast

from http2.frames import ProtocolError
from http2.headers import Headers, encode
from http2.messages import CompressedError, MessageError, NoRoomError, SlowError, TooLongError
from http2.server import Connection, Event, HalfClosed, Limits, Message, Opened, Reset
from server.door import call
from server.door.call import Call, Handler, Method, Trailers
from server.door.timeout import seconds
from server.errors import Code

UNREAD_BYTES_MAX: Final = 1 << 20
"""Answers that wait in our own socket; beyond them nothing more is read from a peer that does not read."""
_GRPC: Final = re.compile(rb"application/grpc(?:[+;].*)?")
_NOT_GRPC: Final = encode([(":status", "415")])
"""Nobody who speaks gRPC sends another content type (PROTOCOL-HTTP2.md, Requests)."""
_CODES: Final = {
    TooLongError: Code.RESOURCE_EXHAUSTED,
    NoRoomError: Code.RESOURCE_EXHAUSTED,
    SlowError: Code.DEADLINE_EXCEEDED,
    CompressedError: Code.UNIMPLEMENTED,
}
_ACCEPTED: Final[Trailers] = (("grpc-accept-encoding", "identity"),)
"""What a peer is told whose encoding we do not take (compression.md)."""
_TIMEOUTS_MAX: Final = 1024


class Owner(Protocol):
    """Who keeps the links."""

    def opened(self, link: Link) -> None:
        """A connection stands."""

    def closed(self, link: Link) -> None:
        """It is gone."""


class Link(asyncio.BufferedProtocol):
    """A connection's socket and calls; implements `call.Wire`."""

    def __init__(
        self, owner: Owner, methods: Mapping[bytes, Method], limits: Limits, buffer: memoryview, log: Any
    ) -> None:
        """Args: `buffer` to read into; all may share it, for what was read is taken before the next read."""
        self._owner = owner
        self._methods = methods
        self._buffer = buffer
        self._log = log
        self._connection = Connection(limits)
        self._handlers: dict[int, Handler] = {}
        self._timeouts: dict[bytes, float | None] = {}
        self._transport: asyncio.Transport | None = None
        self._later: Callable[[Callable[[], None]], object] = _never
        self._receiving = False
        self._flush_due = False
        self._leaving = False
        self._heard = True
        """Something came since the owner last looked, or the peer reads again."""

    # --- for the owner ---

    @property
    def busy(self) -> bool:
        """Some call is not over, or an answer is still on its way."""
        unread = self._transport is not None and self._transport.get_write_buffer_size() > 0
        return unread or self._connection.owing or bool(self._connection.streams)

    def draining(self) -> None:
        """Tell every call that the server is about to leave."""
        for handler in list(self._handlers.values()):
            handler.draining()

    def leave(self) -> None:
        """Take no new calls, and hang up when the last one is over."""
        self._leaving = True
        self._connection.leave()
        for handler in list(self._handlers.values()):
            handler.leaving()
        self._flush()

    def look_after(self) -> None:
        """Called now and then: hang up if the peer has been silent since, and make it say something."""
        if not self._heard:
            self.hang_up()
            return
        self._heard = False
        for event in self._connection.wait():
            self._on(event)
        self._connection.ping()
        self._flush()

    def hang_up(self) -> None:
        """At once, whatever waits."""
        if self._transport is not None:
            self._transport.abort()

    # --- for the calls ---

    def answer(self, stream: int, message: bytes) -> None:
        """See `call.Wire`."""
        self._handlers.pop(stream, None)
        self._connection.answer(stream, call.HEAD, message, call.OK)
        self._flush_soon()

    def send(self, stream: int, message: bytes, *, first: bool) -> None:
        """See `call.Wire`."""
        if first:
            self._connection.begin(stream, call.HEAD)
        self._connection.send(stream, message)
        self._flush_soon()

    def end(self, stream: int, trailers: bytes, *, at_once: bool) -> None:
        """See `call.Wire`."""
        self._handlers.pop(stream, None)
        if at_once:
            self._connection.drop(stream)
        self._connection.end(stream, trailers)
        self._flush_soon()

    def unsent_bytes(self, stream: int) -> int:
        """See `call.Wire`."""
        return self._connection.unsent_bytes(stream)

    # --- for the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket stands."""
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNREAD_BYTES_MAX)
        self._later = asyncio.get_running_loop().call_soon
        self._owner.opened(self)
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came: all that is in them is begun before anything is said."""
        self._heard = True
        self._receiving = True
        try:
            for event in self._connection.receive(self._buffer[:nbytes]):
                try:
                    self._on(event)
                except Exception:  # whatever it was, it is one call's failure and not its connection's
                    self._on_fault(event.stream)
        except ProtocolError as error:
            self._log.warning("connection broken off", cause=str(error))
            self._connection.break_off(error)
            self._flush()
            if self._transport is not None:
                self._transport.close()
            return
        finally:
            self._receiving = False
        self._flush()

    def eof_received(self) -> bool:
        """The peer will say no more, so it can open no window and cancel nothing: hang up."""
        return False

    def pause_writing(self) -> None:
        """The peer does not read: let TCP hold it back."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._heard = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone, and with it whoever waits."""
        self._transport = None
        self._connection.close()
        handlers, self._handlers = self._handlers, {}
        for handler in handlers.values():
            handler.gone()
        self._owner.closed(self)

    # --- events ---

    def _on(self, event: Event) -> None:
        if isinstance(event, Message):
            handler = self._handlers.get(event.stream)
            if handler is not None:
                handler.message(event.data)
                # Who has ended the call is told no more of it: its answer may still wait for a window.
                if event.last and event.stream in self._handlers:
                    handler.half_closed()
        elif isinstance(event, Opened):
            self._on_opened(event.stream, event.headers)
        elif isinstance(event, HalfClosed):
            handler = self._handlers.get(event.stream)
            if handler is not None:
                handler.half_closed()
        elif isinstance(event, Reset):
            handler = self._handlers.pop(event.stream, None)
            if handler is not None:
                handler.gone()
        else:
            self._on_malformed(event.stream, event.error)

    def _on_opened(self, stream: int, headers: Headers) -> None:
        content_type = headers.get(b"content-type", b"")
        if content_type != b"application/grpc" and not _GRPC.fullmatch(content_type):
            self._connection.end(stream, _NOT_GRPC)
            return
        begun = Call(self, stream)
        method = self._methods.get(headers.get(b":path", b""))
        if method is None:
            begun.fail(Code.UNIMPLEMENTED, "This server has no such method.")
            return
        try:
            remaining_s = self._seconds(headers.get(b"grpc-timeout"))
        except ValueError:
            begun.fail(Code.INTERNAL, "grpc-timeout is at most eight digits and a unit.")
            return
        handler = self._handlers[stream] = method(begun, remaining_s)
        if self._leaving:  # it came while the peer had not yet heard
            handler.leaving()

    def _on_malformed(self, stream: int, error: MessageError) -> None:
        handler = self._handlers.pop(stream, None)
        if handler is None:
            return
        handler.gone()
        broken = Call(self, stream, begun=self._connection.begun(stream))
        trailers = _ACCEPTED if isinstance(error, CompressedError) else ()
        broken.fail(_CODES.get(type(error), Code.INTERNAL), str(error), trailers)

    def _on_fault(self, stream: int) -> None:
        """A method failed in a way that it does not know of."""
        self._log.exception("call failed")
        self._handlers.pop(stream, None)
        failed = Call(self, stream, begun=self._connection.begun(stream))
        failed.fail(Code.INTERNAL, "The server failed; its log says why.")

    def _seconds(self, timeout: bytes | None) -> float | None:
        if timeout is None:
            return None
        found = self._timeouts.get(timeout)
        if found is None:
            found = seconds(timeout)
            if len(self._timeouts) < _TIMEOUTS_MAX:
                self._timeouts[timeout] = found
        return found

    # --- writing ---

    def _flush_soon(self) -> None:
        """Once for all that is said in this turn of the loop: a run answers many at once."""
        if not self._receiving and not self._flush_due:
            self._flush_due = True
            self._later(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        data = self._connection.take()
        if self._transport is None or self._transport.is_closing():
            return
        if data:
            self._transport.write(data)
        if self._leaving and self._connection.idle:
            self._transport.close()


def _never(_: object) -> None:
    """Before the socket stands there is nobody to say anything to."""
