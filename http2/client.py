"""One HTTP/2 connection of a gRPC client: calls and bytes in, events and bytes out.

Why our own: between a due request and its bytes, grpc.aio spends 60 to 250 µs, and 400 to 600 µs of CPU on
the whole call. A load generator's own share of what it reports must be small beside a server's
(docs/decisions.md has both sides). It speaks what gRPC servers need of RFC 9113; the whole is tested against
another implementation of HTTP/2.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from http2 import frames
from http2.frames import Frame
from http2.headers import HeaderReader, Headers

STREAM_WINDOW: Final = 64 << 20
"""Bytes that one answer may have: it is never waited for."""
FRAME_BYTES_MAX: Final = 1 << 20
_REPLENISH: Final = 1 << 30
_STREAMS_MAX_DEFAULT: Final = (1 << 31) - 1


@dataclass(slots=True)
class Call:
    """One request on its way.

    Attributes:
        token: the caller's.
        stream: 0 = waits for one.
        unsent: what flow control still holds back; None = all is sent.
        data: parts of the answer.
        head: of the answer.
    """

    token: object
    block: bytes
    message: bytes
    stream: int = 0
    window: int = 0
    unsent: memoryview | None = None
    data: list[bytes] = field(default_factory=list)
    head: Headers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """A call is over: with trailers, or reset by the peer with an HTTP/2 error code.

    Attributes:
        reset: None = it ended as it should.
    """

    token: object
    head: Headers
    trailers: Headers
    data: bytes
    reset: int | None


@dataclass(frozen=True, slots=True)
class Unprocessed:
    """The peer says that it never looked at these calls: they may be sent elsewhere."""

    tokens: tuple[object, ...]


Event = Finished | Unprocessed


class Conversation:
    """The client's end."""

    def __init__(self) -> None:
        self.ready = False
        """The peer has said its settings."""
        self.closing = False
        """The peer takes no more calls."""
        self._calls: dict[int, Call] = {}
        self._streams: dict[object, Call] = {}
        self._queue: deque[Call] = deque()
        self._blocked: deque[Call] = deque()
        self._next = 1
        self._window = frames.WINDOW_INITIAL
        self._stream_window = frames.WINDOW_INITIAL
        self._frame_bytes_max = frames.FRAME_INITIAL
        self._streams_max = _STREAMS_MAX_DEFAULT
        self._received = 0
        self._reader = frames.Reader(FRAME_BYTES_MAX)
        self._headers = HeaderReader()
        self._part: Frame | None = None
        self._out: list[bytes] = []
        self._events: list[Event] = []

    def begin(self) -> bytes:
        """The first bytes to send."""
        wanted = {
            frames.ENABLE_PUSH: 0,
            frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            frames.MAX_FRAME_SIZE: FRAME_BYTES_MAX,
        }
        more = frames.window_update(0, frames.WINDOW_MAX - frames.WINDOW_INITIAL)
        return frames.PREFACE + frames.settings(wanted) + more

    @property
    def tokens(self) -> list[object]:
        """Of all calls that are not over."""
        return list(self._streams)

    def call(self, token: object, block: bytes, message: bytes) -> bytes:
        """Begin a call; what is to be sent now.

        Args:
            token: hashable, the caller's name for it.
            block: from `encode`.
            message: the gRPC message with its five-byte prefix.
        """
        call = Call(token, block, message)
        self._streams[token] = call
        if len(self._calls) < self._streams_max:
            self._start(call)
        else:
            self._queue.append(call)
        return self._taken()

    def cancel(self, token: object) -> bytes:
        """Give a call up; nothing more is heard of it."""
        call = self._streams.pop(token, None)
        if call is None:
            return b""
        if call.stream:
            del self._calls[call.stream]
            self._out.append(frames.reset(call.stream, frames.CANCEL))
            self._start_queued()
        else:
            self._queue.remove(call)
        return self._taken()

    def receive(self, data: bytes) -> tuple[list[Event], bytes]:
        """Take what came; what happened, and what is to be sent.

        Raises:
            ProtocolError: the peer broke the protocol; the connection is of no more use.
        """
        for one in self._reader.feed(data):
            if self._part is not None or one.kind in (frames.HEADERS, frames.CONTINUATION):
                self._on_headers(one)
            elif one.kind == frames.DATA:
                self._on_data(one)
            elif one.kind == frames.SETTINGS:
                self._on_settings(one)
            elif one.kind == frames.WINDOW_UPDATE:
                self._on_window(one)
            elif one.kind == frames.PING and not one.flags & frames.ACK:
                self._out.append(frames.frame(frames.PING, frames.ACK, 0, one.payload))
            elif one.kind == frames.RST_STREAM:
                self._end(one.stream, {}, frames.number(one.payload))
            elif one.kind == frames.GOAWAY:
                self._on_goaway(one)
        events, self._events = self._events, []
        return events, self._taken()

    def _taken(self) -> bytes:
        out, self._out = self._out, []
        return b"".join(out)

    # --- sending ---

    def _start(self, call: Call) -> None:
        call.stream, self._next = self._next, self._next + 2
        call.window = self._stream_window
        self._calls[call.stream] = call
        self._out.append(
            frames.head(len(call.block), frames.HEADERS, frames.END_HEADERS, call.stream) + call.block
        )
        size = len(call.message)
        if size <= self._frame_bytes_max and size <= call.window and size <= self._window:
            call.window -= size
            self._window -= size
            self._out.append(frames.head(size, frames.DATA, frames.END_STREAM, call.stream) + call.message)
        else:
            call.unsent = memoryview(call.message)
            self._push(call)

    def _push(self, call: Call) -> None:
        """Send what the windows allow of a call's message."""
        rest = call.unsent
        while rest is not None:
            size = min(len(rest), self._frame_bytes_max, call.window, self._window)
            if size <= 0 < len(rest):
                self._blocked.append(call)
                break
            last = size == len(rest)
            self._out.append(frames.head(size, frames.DATA, frames.END_STREAM if last else 0, call.stream))
            self._out.append(bytes(rest[:size]))
            call.window -= size
            self._window -= size
            rest = None if last else rest[size:]
        call.unsent = rest

    def _unblock(self) -> None:
        waiting, self._blocked = self._blocked, deque()
        for call in waiting:
            if call.stream in self._calls:
                self._push(call)

    def _start_queued(self) -> None:
        while self._queue and len(self._calls) < self._streams_max:
            self._start(self._queue.popleft())

    # --- receiving ---

    def _on_headers(self, one: Frame) -> None:
        if self._part is not None:
            if one.kind != frames.CONTINUATION or one.stream != self._part.stream:
                raise frames.ProtocolError("a header block was interrupted")
            flags = self._part.flags | one.flags & frames.END_HEADERS
            one = Frame(frames.HEADERS, flags, one.stream, self._part.payload + one.payload)
        elif one.kind == frames.CONTINUATION:
            raise frames.ProtocolError("a header block goes on that never began")
        if not one.flags & frames.END_HEADERS:
            self._part = one
            return
        self._part = None
        found = self._headers.decode(one.payload)
        call = self._calls.get(one.stream)
        if call is None:
            return  # given up meanwhile
        if not one.flags & frames.END_STREAM:
            call.head = found
        else:
            self._end(one.stream, found, None)

    def _on_data(self, one: Frame) -> None:
        self._received += len(one.payload)
        if self._received > _REPLENISH:
            self._out.append(frames.window_update(0, self._received))
            self._received = 0
        call = self._calls.get(one.stream)
        if call is None:
            return
        call.data.append(one.payload)
        if one.flags & frames.END_STREAM:  # without trailers: no gRPC server does that
            self._end(one.stream, {}, None)

    def _end(self, stream: int, trailers: Headers, reset: int | None) -> None:
        call = self._calls.pop(stream, None)
        if call is None:
            return
        del self._streams[call.token]
        if call.unsent is not None and reset is None:
            # Answered before it was all asked: the rest is not wanted, and the server waits for it.
            self._out.append(frames.reset(stream, frames.CANCEL))
        if reset == frames.REFUSED_STREAM:
            self._events.append(Unprocessed((call.token,)))
            self._start_queued()
            return
        data = call.data[0] if len(call.data) == 1 else b"".join(call.data)
        self._events.append(Finished(call.token, call.head, trailers, data, reset))
        self._start_queued()

    def _on_settings(self, one: Frame) -> None:
        if one.flags & frames.ACK:
            return
        for name, value in frames.pairs(one.payload):
            if name == frames.MAX_CONCURRENT_STREAMS:
                self._streams_max = value
            elif name == frames.MAX_FRAME_SIZE:
                self._frame_bytes_max = value
            elif name == frames.INITIAL_WINDOW_SIZE:
                for call in self._calls.values():
                    call.window += value - self._stream_window
                self._stream_window = value
        self.ready = True
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._unblock()
        self._start_queued()

    def _on_window(self, one: Frame) -> None:
        more = frames.number(one.payload)
        if one.stream == 0:
            self._window += more
        elif one.stream in self._calls:
            self._calls[one.stream].window += more
        self._unblock()

    def _on_goaway(self, one: Frame) -> None:
        self.closing = True
        last = frames.number(one.payload)
        calls = [call for stream, call in self._calls.items() if stream > last] + list(self._queue)
        self._queue.clear()
        for call in calls:
            self._calls.pop(call.stream, None)
            del self._streams[call.token]
        if calls:
            self._events.append(Unprocessed(tuple(call.token for call in calls)))
