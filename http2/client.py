"""One HTTP/2 connection of a gRPC client: calls and bytes in, events and bytes out.

Why our own: between a due request and its bytes, grpc.aio spends 60 to 250 µs, and 400 to 600 µs of CPU on
the whole call. A load generator's own share of what it reports must be small beside a server's
(docs/decisions.md has both sides). It speaks what gRPC servers need of RFC 9113; the whole is tested against
another implementation of HTTP/2.

A call is either whole (`call`: one message, one answer, told when it is over) or open (`open`, `send`,
`finish`: messages both ways for as long as both sides like, told as they come).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from http2 import frames
from http2.frames import Frame
from http2.headers import HeaderReader, Headers

STREAM_WINDOW: Final = 64 << 20
"""Bytes that one answer may have: it is never waited for."""
FRAME_BYTES_MAX: Final = 1 << 20
_REPLENISH: Final = 1 << 30
_STREAM_REPLENISH: Final = STREAM_WINDOW // 2
_STREAMS_MAX_DEFAULT: Final = (1 << 31) - 1


@dataclass(slots=True, eq=False)
class Message:
    """A message that flow control holds back.

    Attributes:
        lead: its first bytes, by which it can be withdrawn.
        rest, left: what is not sent yet, in order, and how many bytes.
        begun: some of it is sent.
    """

    lead: bytes
    rest: deque[memoryview]
    left: int
    begun: bool = False


@dataclass(slots=True, eq=False)
class Call:
    """One HTTP/2 stream.

    Attributes:
        token: the caller's.
        told: parts of the answer are told as they come.
        stream: 0 = waits for one.
        unsent: what flow control still holds back.
        finished: no message follows.
        closed: so the peer was told.
        received: bytes that the peer's window for this stream is short of.
        data: parts of the answer, when they are not told.
        head: of the answer.
    """

    token: object
    block: bytes
    told: bool
    stream: int = 0
    window: int = 0
    unsent: deque[Message] = field(default_factory=deque)
    finished: bool = False
    closed: bool = False
    received: int = 0
    data: list[bytes] = field(default_factory=list)
    head: Headers = field(default_factory=dict)


class Received(NamedTuple):
    """Bytes of an open call's answers, in order, cut anywhere."""

    token: object
    data: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """A call is over: with trailers, or reset by the peer with an HTTP/2 error code.

    Attributes:
        data: the whole answer; empty of an open call, which was told before.
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


Event = Received | Finished | Unprocessed


class Conversation:
    """The client's end. Tokens are hashable, the caller's names for its calls."""

    def __init__(self) -> None:
        self.ready = False
        """The peer has said its settings."""
        self.closing = False
        """The peer takes no more calls."""
        self._calls: dict[int, Call] = {}
        self._tokens: dict[object, Call] = {}
        self._queue: deque[Call] = deque()
        self._blocked: dict[int, Call] = {}
        self._next = 1
        self._window = frames.WINDOW_INITIAL
        self._stream_window = frames.WINDOW_INITIAL
        self._frame_bytes_max = frames.FRAME_INITIAL
        self._streams_max = _STREAMS_MAX_DEFAULT
        self._received = 0
        self._reader = frames.Reader(FRAME_BYTES_MAX)
        self._headers = HeaderReader()
        self._part: Frame | None = None
        self._out: list[bytes | memoryview] = []
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
        return list(self._tokens)

    def call(self, token: object, block: bytes, lead: bytes, message: bytes = b"") -> bytes:
        """Begin a whole call; what is to be sent now.

        Args:
            block: from `headers.encode`.
            lead, message: what is sent, in two parts so that a long one needs no copy; gRPC's five bytes of
                prefix go first.
        """
        return self._begun(Call(token, block, told=False, finished=True), lead, message)

    def open(self, token: object, block: bytes) -> bytes:
        """Begin an open call; what is to be sent now."""
        return self._begun(Call(token, block, told=True))

    def send(self, token: object, lead: bytes, message: bytes = b"") -> bytes:
        """Send a message, in two parts as in `call`, over an open call; what is to be sent now.

        Nothing is sent over a call that is over: its end is told, or was among the last events.

        Raises:
            ValueError: `finish` was said.
        """
        call = self._tokens.get(token)
        if call is None:
            return b""
        if call.finished:
            raise ValueError("a message after the last one")
        self._send(call, lead, message)
        return self._taken()

    def withdraw(self, token: object, lead: bytes) -> bool:
        """Take back a message with this lead that flow control holds back whole; False = it is on its way."""
        call = self._tokens.get(token)
        if call is None:
            return False
        for message in call.unsent:
            if message.lead == lead and not message.begun:
                call.unsent.remove(message)
                return True
        return False

    def finish(self, token: object) -> bytes:
        """Send no more messages over an open call, and say so after the last one; what is to be sent now."""
        call = self._tokens.get(token)
        if call is None or call.finished:
            return b""
        call.finished = True
        if call.stream and not call.unsent:
            self._close(call)
        return self._taken()

    def cancel(self, token: object) -> bytes:
        """Give a call up; nothing more is heard of it."""
        call = self._tokens.pop(token, None)
        if call is None:
            return b""
        if call.stream:
            self._forget(call.stream)
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
                self._out.append(frames.frame(frames.PING, frames.ACK, 0, bytes(one.payload)))
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

    def _begun(self, call: Call, *message: bytes) -> bytes:
        self._tokens[call.token] = call
        if len(self._calls) < self._streams_max:
            self._start(call)
        else:
            self._queue.append(call)
        if message:
            self._send(call, *message)
        return self._taken()

    def _start(self, call: Call) -> None:
        call.stream, self._next = self._next, self._next + 2
        call.window = self._stream_window
        self._calls[call.stream] = call
        self._out.append(
            frames.head(len(call.block), frames.HEADERS, frames.END_HEADERS, call.stream) + call.block
        )

    def _send(self, call: Call, lead: bytes, message: bytes) -> None:
        size = len(lead) + len(message)
        if (
            call.stream
            and not call.unsent
            and size <= self._frame_bytes_max
            and size <= call.window
            and size <= self._window
        ):
            call.window -= size
            self._window -= size
            call.closed = call.finished
            flags = frames.END_STREAM if call.closed else 0
            self._out.append(frames.head(size, frames.DATA, flags, call.stream) + lead)
            self._out.append(message)
            return
        waits = bool(call.unsent) or not call.stream
        call.unsent.append(Message(lead, deque((memoryview(lead), memoryview(message))), size))
        if not waits:
            self._push(call)

    def _push(self, call: Call) -> None:
        """Send what the windows allow of a call's messages."""
        while call.unsent:
            message = call.unsent[0]
            size = min(message.left, self._frame_bytes_max, call.window, self._window)
            if size <= 0 < message.left:
                self._blocked[call.stream] = call
                return
            message.left -= size
            if not message.left:
                call.unsent.popleft()
                call.closed = call.finished and not call.unsent
            flags = frames.END_STREAM if call.closed else 0
            self._out.append(frames.head(size, frames.DATA, flags, call.stream))
            self._out.extend(_cut(message.rest, size))
            message.begun = True
            call.window -= size
            self._window -= size
        if call.finished and not call.closed:
            self._close(call)

    def _close(self, call: Call) -> None:
        """Say that no message follows."""
        call.closed = True
        self._out.append(frames.frame(frames.DATA, frames.END_STREAM, call.stream))

    def _unblock(self) -> None:
        waiting, self._blocked = self._blocked, {}
        for call in waiting.values():
            self._push(call)

    def _start_queued(self) -> None:
        while self._queue and len(self._calls) < self._streams_max:
            call = self._queue.popleft()
            self._start(call)
            self._push(call)

    # --- receiving ---

    def _on_headers(self, one: Frame) -> None:
        if self._part is not None:
            if one.kind != frames.CONTINUATION or one.stream != self._part.stream:
                raise frames.ProtocolError("a header block was interrupted")
            flags = self._part.flags | one.flags & frames.END_HEADERS
            payload = bytes(self._part.payload) + bytes(one.payload)
            one = Frame(frames.HEADERS, flags, one.stream, payload, len(payload))
        elif one.kind == frames.CONTINUATION:
            raise frames.ProtocolError("a header block goes on that never began")
        if not one.flags & frames.END_HEADERS:
            self._part = one
            return
        self._part = None
        found = self._headers.decode(bytes(one.payload))
        call = self._calls.get(one.stream)
        if call is None:
            return  # given up meanwhile
        if not one.flags & frames.END_STREAM:
            call.head = found
        else:
            self._end(one.stream, found, None)

    def _on_data(self, one: Frame) -> None:
        self._received += one.size
        if self._received > _REPLENISH:
            self._out.append(frames.window_update(0, self._received))
            self._received = 0
        call = self._calls.get(one.stream)
        if call is None:
            return
        if call.told:
            self._events.append(Received(call.token, bytes(one.payload)))
            call.received += one.size
            if call.received > _STREAM_REPLENISH and not one.flags & frames.END_STREAM:
                self._out.append(frames.window_update(one.stream, call.received))
                call.received = 0
        else:
            call.data.append(bytes(one.payload))
        if one.flags & frames.END_STREAM:  # without trailers: no gRPC server does that
            self._end(one.stream, {}, None)

    def _end(self, stream: int, trailers: Headers, reset: int | None) -> None:
        call = self._forget(stream)
        if call is None:
            return
        del self._tokens[call.token]
        if not call.closed and reset is None:
            # Over before it was all said: the rest is not wanted, and the server waits for it.
            self._out.append(frames.reset(stream, frames.CANCEL))
        if reset == frames.REFUSED_STREAM:
            self._events.append(Unprocessed((call.token,)))
        else:
            data = call.data[0] if len(call.data) == 1 else b"".join(call.data)
            self._events.append(Finished(call.token, call.head, trailers, data, reset))
        self._start_queued()

    def _forget(self, stream: int) -> Call | None:
        self._blocked.pop(stream, None)
        return self._calls.pop(stream, None)

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
            self._forget(call.stream)
            del self._tokens[call.token]
        if calls:
            self._events.append(Unprocessed(tuple(call.token for call in calls)))


def _cut(parts: deque[memoryview], size: int) -> Iterator[memoryview]:
    """Take so many bytes off the front."""
    while size:
        part = parts.popleft()
        if len(part) > size:
            parts.appendleft(part[size:])
            part = part[:size]
        size -= len(part)
        yield part
