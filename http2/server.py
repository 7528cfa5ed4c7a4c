"""One HTTP/2 connection of a gRPC server: bytes in, events out; answers in, bytes out.

Why our own: grpc.aio costs 188 µs of CPU for a unary echo and 72 for a message of a stream, accepts one call
per turn of the event loop, and so stamps a request's arrival after it has waited where nobody sees it. Here a
turn of the loop takes all that has come (docs/decisions.md has the numbers).

Every bound on what a peer may make us hold is here or in `Limits`: frame, header block, message, streams,
answers that its windows hold back. What it lets us say and does not read, whoever owns the socket bounds by
not reading on. A flood costs what it is long: no frame costs more work for the streams that are open, but
SETTINGS, which are counted.

A fault that concerns one stream ends that stream (RFC 9113, 5.4.2); nothing that a peer may still have sent
before it learnt of an end is a fault.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from http2 import frames, request
from http2.frames import Frame, ProtocolError
from http2.headers import HEADER_BYTES_MAX, HeaderReader, Headers
from http2.messages import PREFIX, MessageError, MessageReader, Room

FRAME_BYTES_MAX: Final = 1 << 20
"""Longest DATA frame that we take: most messages fit into one."""
CONNECTION_WINDOW: Final = 64 << 20
"""Bytes that a connection may have under way before we have looked at them; `Room` bounds what is kept."""
UNSENT_BYTES_MAX: Final = 64 << 20
"""Answers of all calls together that the peer's windows hold back; beyond them it may begin no call."""
SETTINGS_MAX: Final = 1000
"""Between two looks: one that widens every stream's window by a byte makes every stream send a byte."""
CONTINUATIONS_MAX: Final = 16
"""Frames of one header block: an endless block of tiny ones costs work without ever being too long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may ask for.

    Attributes:
        message_bytes_max: of one gRPC message.
        streams_max: open at once.
        room: for messages that are not whole.
    """

    message_bytes_max: int
    streams_max: int
    room: Room


class Opened(NamedTuple):
    """A call begins."""

    stream: int
    headers: Headers


class Message(NamedTuple):
    """One gRPC message of a call; `last` = the peer's side ended with it."""

    stream: int
    data: bytes | memoryview
    last: bool


class HalfClosed(NamedTuple):
    """The peer's side of a call ended, after its last message or without any."""

    stream: int


class Malformed(NamedTuple):
    """The peer's side of a call cannot be read further; the call must be ended with a status."""

    stream: int
    error: MessageError


class Reset(NamedTuple):
    """The peer gave a call up; nothing more can be said in it."""

    stream: int


Event = Opened | Message | HalfClosed | Malformed | Reset


@dataclass(slots=True)
class _Stream:
    """One open call.

    Attributes:
        reader: None = nothing more is taken from the peer.
        asking: the peer has not ended its side.
        begun: the response headers have been sent.
        window: bytes that we may still send, apart from what the peer's settings give every stream.
        taken: bytes received since the peer was last allowed more.
        unsent: what flow control holds back, in order; `closing` is the trailers' block after it.
    """

    id: int
    reader: MessageReader | None
    asking: bool
    begun: bool = False
    window: int = 0
    taken: int = 0
    unsent: deque[memoryview] = field(default_factory=deque)
    unsent_bytes: int = 0
    closing: bytes | None = None


class Connection:
    """The server's end. `take` gives the bytes that are to be sent, after any other call."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._streams: dict[int, _Stream] = {}
        self._last = 0
        self._window = frames.WINDOW_INITIAL
        self._stream_window = frames.WINDOW_INITIAL
        self._frame_bytes_max = frames.FRAME_INITIAL
        # Not less than what a peer takes for granted until it has read our settings.
        self._own_window = max(limits.message_bytes_max + PREFIX, frames.WINDOW_INITIAL)
        self._taken = 0
        self._preface: bytes | None = b""
        self._settled = False
        self._settings = 0
        """SETTINGS since the last look."""
        self._left = False
        self._pings = 0
        """After `leave`: what the peer has answered came after all that we had said before."""
        self._pongs = 0
        self._last_max = frames.WINDOW_MAX
        """The last stream that a GOAWAY has named."""
        self._reader = frames.Reader(FRAME_BYTES_MAX)
        self._headers = HeaderReader(request.read)
        self._block: list[Frame] = []
        self._blocked: dict[int, _Stream] = {}
        """Who waits for the connection's window alone; whoever was served last comes last."""
        self._unsent_bytes = 0
        self._out: list[bytes | memoryview] = []
        self._events: list[Event] = []
        wanted = {
            frames.MAX_CONCURRENT_STREAMS: limits.streams_max,
            frames.INITIAL_WINDOW_SIZE: self._own_window,
            frames.MAX_FRAME_SIZE: FRAME_BYTES_MAX,
            frames.MAX_HEADER_LIST_SIZE: request.BYTES_MAX,
        }
        self._out.append(frames.settings(wanted))
        self._out.append(frames.window_update(0, CONNECTION_WINDOW - frames.WINDOW_INITIAL))

    # --- what the owner says ---

    @property
    def streams(self) -> list[int]:
        """Open calls."""
        return list(self._streams)

    @property
    def idle(self) -> bool:
        """After `leave` every call is over, none can come any more, and the peer has heard the last word."""
        return not self._streams and 0 < self._pings == self._pongs

    @property
    def owing(self) -> bool:
        """After `leave`: a call is over whose last word the peer may not have read."""
        return self._pongs < self._pings and self._pings > 1

    def unsent_bytes(self, stream: int) -> int:
        """Of a call's answers, what the peer's windows hold back; 0 for a call that is over.

        Of all calls' answers, if they are more than UNSENT_BYTES_MAX: then each is one too many.
        """
        found = self._streams.get(stream)
        if found is None:
            return 0
        return self._unsent_bytes if self._unsent_bytes > UNSENT_BYTES_MAX else found.unsent_bytes

    def begun(self, stream: int) -> bool:
        """A call's response headers have been sent: only trailers can follow."""
        found = self._streams.get(stream)
        return found is not None and found.begun

    def close(self) -> None:
        """The socket is gone."""
        for found in self._streams.values():
            self._forget(found)

    def take(self) -> bytes:
        """Everything that is to be sent now."""
        out, self._out = self._out, []
        return b"".join(out)

    def begin(self, stream: int, block: bytes) -> None:
        """Send a call's response headers."""
        found = self._streams.get(stream)
        if found is not None:
            found.begun = True
            self._head(frames.HEADERS, frames.END_HEADERS, stream, block)

    def send(self, stream: int, message: bytes) -> None:
        """Send one message, prefixed already, after `begin`."""
        found = self._streams.get(stream)
        if found is None:
            return
        size = len(message)
        if (
            not found.unsent
            and size <= found.window + self._stream_window
            and size <= self._window
            and size <= self._frame_bytes_max
        ):
            found.window -= size
            self._window -= size
            self._head(frames.DATA, 0, stream, message)
        elif found.closing is None:
            found.unsent.append(memoryview(message))
            found.unsent_bytes += size
            self._unsent_bytes += size
            self._push(found)

    def end(self, stream: int, block: bytes) -> None:
        """End a call with its trailers, after all that was sent. They may be the only headers."""
        found = self._streams.get(stream)
        if found is None or found.closing is not None:
            return
        if found.unsent:
            found.closing = block
        else:
            self._finish(found, block)

    def answer(self, stream: int, head: bytes, message: bytes, trailers: bytes) -> None:
        """`begin`, `send` and `end` in one."""
        self.begin(stream, head)
        self.send(stream, message)
        self.end(stream, trailers)

    def drop(self, stream: int) -> None:
        """Forget what a call has still to say, so that it can be ended at once."""
        found = self._streams.get(stream)
        if found is not None and found.closing is None:
            self._drop(found)

    def wait(self) -> list[Event]:
        """Called now and then: which calls wait since the last time for the rest of a message."""
        self._settings = 0
        events: list[Event] = []
        for found in self._streams.values():
            if found.reader is not None:
                try:
                    found.reader.wait()
                except MessageError as error:
                    self._forget(found)
                    events.append(Malformed(found.id, error))
        return events

    def leave(self) -> None:
        """Ask the peer to begin no more calls here. When it has heard it is told so for good."""
        if not self._pings:
            self._out.append(frames.goaway(frames.WINDOW_MAX, frames.NO_ERROR))
            self._ask_heard()

    def ping(self) -> None:
        """Make the peer say something."""
        self._out.append(frames.frame(frames.PING, 0, 0, _ALIVE))

    def break_off(self, error: ProtocolError) -> None:
        """Tell the peer why the connection ends now."""
        self._out.append(frames.goaway(min(self._last, self._last_max), error.code))

    # --- what the peer says ---

    def receive(self, data: bytes | memoryview) -> list[Event]:
        """Take what came; say what happened. Nothing that is said refers to `data`.

        Raises:
            ProtocolError: the peer broke the protocol; `break_off`, send, and close.
        """
        if self._preface is not None:
            data = self._begun(self._preface + bytes(data))
            if not data:
                return []
        for one in self._reader.feed(data):
            kind = one.kind
            if self._block:
                self._on_continuation(one)
            elif not self._settled and (kind != frames.SETTINGS or one.flags & frames.ACK):
                raise ProtocolError("the first frame is not SETTINGS")
            elif kind == frames.DATA:
                self._on_data(one)
            elif kind == frames.HEADERS:
                self._on_headers(one)
            elif kind == frames.WINDOW_UPDATE:
                self._on_window(one)
            elif kind == frames.SETTINGS:
                self._on_settings(one)
            elif kind == frames.PING:
                self._on_ping(one)
            elif kind == frames.RST_STREAM:
                self._on_reset(one)
            elif kind == frames.CONTINUATION:
                raise ProtocolError("a header block goes on that never began")
            elif kind == frames.PUSH_PROMISE:
                raise ProtocolError("a client cannot push")
            elif kind == frames.PRIORITIES and one.stream == 0:
                raise ProtocolError("PRIORITY without a stream")
            elif kind == frames.GOAWAY:
                self._on_goaway(one)
        events, self._events = self._events, []
        return events

    def _begun(self, data: bytes) -> bytes:
        """What follows the client's preface; nothing while it is not whole."""
        if not frames.PREFACE.startswith(data[: len(frames.PREFACE)]):
            raise ProtocolError(
                "this port speaks HTTP/2 with prior knowledge, as gRPC does, and nothing else"
            )
        if len(data) < len(frames.PREFACE):
            self._preface = data
            return b""
        self._preface = None
        return data[len(frames.PREFACE) :]

    def _idle(self, stream: int) -> bool:
        """No stream of this number has been opened yet; we open none, so that the even ones stay idle."""
        return stream > self._last or stream % 2 == 0

    def _fail(self, stream: int, code: int) -> None:
        """End a stream whose peer broke a rule that concerns nobody else (RFC 9113, 5.4.2)."""
        self._out.append(frames.reset(stream, code))
        self._on_gone(stream)

    def _on_gone(self, stream: int) -> None:
        found = self._streams.pop(stream, None)
        if found is not None:
            self._drop(found)
            self._forget(found)
            self._events.append(Reset(stream))
            self._last_word()

    def _drop(self, found: _Stream) -> None:
        """Forget what a call has still to say."""
        self._blocked.pop(found.id, None)
        self._unsent_bytes -= found.unsent_bytes
        found.unsent.clear()
        found.unsent_bytes = 0

    def _on_headers(self, one: Frame) -> None:
        if one.stream % 2 == 0:
            raise ProtocolError("a client's streams have odd numbers")
        if one.flags & frames.END_HEADERS:
            self._on_block(one, bytes(one.payload))
        else:
            self._block.append(one._replace(payload=bytes(one.payload)))

    def _on_continuation(self, one: Frame) -> None:
        first = self._block[0]
        if one.kind != frames.CONTINUATION or one.stream != first.stream:
            raise ProtocolError("a header block was interrupted")
        self._block.append(one._replace(payload=bytes(one.payload)))
        size = sum(part.size for part in self._block)
        if len(self._block) > CONTINUATIONS_MAX or size > HEADER_BYTES_MAX:
            raise ProtocolError("a header block that is too long", frames.ENHANCE_YOUR_CALM)
        if one.flags & frames.END_HEADERS:
            block = b"".join(part.payload for part in self._block)
            self._block.clear()
            self._on_block(first, block)

    def _on_block(self, first: Frame, block: bytes) -> None:
        headers = self._headers.decode(block)  # always: what follows depends on it
        number, last = first.stream, first.flags & frames.END_STREAM
        if number <= self._last:
            self._on_trailers(number, headers, bool(last))
            return
        self._last = number
        if b":path" not in headers:
            too_long = headers is request.LONG
            self._fail(number, frames.ENHANCE_YOUR_CALM if too_long else frames.PROTOCOL_ERROR)
            return
        full = len(self._streams) >= self._limits.streams_max or self._unsent_bytes > UNSENT_BYTES_MAX
        if self._left or full:
            self._out.append(frames.reset(number, frames.REFUSED_STREAM))
            return
        reader = None if last else MessageReader(self._limits.message_bytes_max, self._limits.room)
        self._streams[number] = _Stream(number, reader, asking=not last)
        self._events.append(Opened(number, headers))
        if last:
            self._events.append(HalfClosed(number))

    def _on_trailers(self, number: int, headers: Headers, last: bool) -> None:
        found, opens = self._streams.get(number), b":path" in headers
        if found is None:
            if opens:
                raise ProtocolError("a stream is opened that was opened before, or passed over")
            # Else it was on its way while we ended the call.
        elif not found.asking:
            self._fail(number, frames.STREAM_CLOSED)
        elif opens or not last:
            self._fail(number, frames.PROTOCOL_ERROR)
        else:
            self._half_closed(found)

    def _on_data(self, one: Frame) -> None:
        number, size = one.stream, one.size
        self._taken += size
        if self._taken > CONNECTION_WINDOW // 2:
            # As we take what comes at once, nobody who keeps to a window can be told from who does not.
            self._out.append(frames.window_update(0, self._taken))
            self._taken = 0
        found = self._streams.get(number)
        if found is None or found.reader is None:
            if self._idle(number):
                raise ProtocolError("data on a stream that was never opened")
            if found is not None and not found.asking:
                self._fail(number, frames.STREAM_CLOSED)
            return  # on its way while we ended the call
        reader = found.reader
        found.taken += size
        if found.taken > self._own_window:
            raise ProtocolError("more data than the stream's window", frames.FLOW_CONTROL_ERROR)
        last = bool(one.flags & frames.END_STREAM)
        found.asking = not last
        whole: bytes | memoryview | None = None
        try:
            for message in reader.feed(one.payload):
                if whole is not None:
                    self._events.append(Message(number, whole, False))
                whole = message
        except MessageError as error:
            self._forget(found)
            if whole is not None:
                self._events.append(Message(number, whole, False))
            self._events.append(Malformed(number, error))
            return
        if last and reader.between:
            found.reader = None
            self._events.append(HalfClosed(number) if whole is None else Message(number, whole, True))
            return
        if whole is not None:
            self._events.append(Message(number, whole, False))
        if last:
            self._half_closed(found)
        elif found.taken > self._own_window // 2:
            # What is not whole counts: half a window and one message fit into a window and a half.
            self._out.append(frames.window_update(number, found.taken))
            found.taken = 0

    def _half_closed(self, found: _Stream) -> None:
        found.asking = False
        if found.reader is None:
            return
        if found.reader.between:
            self._events.append(HalfClosed(found.id))
        else:
            self._events.append(Malformed(found.id, MessageError("The stream ends inside a message.")))
        self._forget(found)

    def _forget(self, found: _Stream) -> None:
        """Take nothing more from a call's peer."""
        if found.reader is not None:
            found.reader.close()
            found.reader = None

    def _on_reset(self, one: Frame) -> None:
        if self._idle(one.stream):
            raise ProtocolError("a reset of a stream that was never opened")
        self._on_gone(one.stream)

    def _on_settings(self, one: Frame) -> None:
        self._settled = True
        if one.stream:
            raise ProtocolError("settings of a stream")
        if len(one.payload) % 6 or (one.flags & frames.ACK and one.payload):
            raise ProtocolError("a broken SETTINGS frame", frames.FRAME_SIZE_ERROR)
        if one.flags & frames.ACK:
            return
        self._settings += 1
        if self._settings > SETTINGS_MAX:
            raise ProtocolError("settings that change again and again", frames.ENHANCE_YOUR_CALM)
        before = self._stream_window
        for name, value in frames.pairs(one.payload):
            if name == frames.MAX_FRAME_SIZE:
                if not frames.FRAME_INITIAL <= value < 1 << 24:
                    raise ProtocolError("an impossible frame size")
                self._frame_bytes_max = value
            elif name == frames.INITIAL_WINDOW_SIZE:
                if value > frames.WINDOW_MAX:
                    raise ProtocolError("an impossible window", frames.FLOW_CONTROL_ERROR)
                self._stream_window = value
            elif name == frames.ENABLE_PUSH and value > 1:
                raise ProtocolError("a setting that is neither on nor off")
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if self._stream_window > before:
            for found in list(self._streams.values()):
                if found.unsent:
                    self._push(found)

    def _on_window(self, one: Frame) -> None:
        more = frames.number(one.payload)
        if more == 0:
            raise ProtocolError("a window that grows by nothing")
        if one.stream == 0:
            self._window += more
            if self._window > frames.WINDOW_MAX:
                raise ProtocolError("an impossible window", frames.FLOW_CONTROL_ERROR)
            self._unblock()
            return
        if self._idle(one.stream):
            raise ProtocolError("a window of a stream that was never opened")
        found = self._streams.get(one.stream)
        if found is not None:
            found.window += more
            if found.window + self._stream_window > frames.WINDOW_MAX:
                self._fail(one.stream, frames.FLOW_CONTROL_ERROR)
            elif found.unsent:
                self._push(found)

    def _on_ping(self, one: Frame) -> None:
        if one.stream:
            raise ProtocolError("a PING of a stream")
        if not one.flags & frames.ACK:
            self._out.append(frames.frame(frames.PING, frames.ACK, 0, bytes(one.payload)))
        elif one.payload == _LEAVING and self._pongs < self._pings:
            self._pongs += 1
            if not self._left:
                # The peer has heard that we leave: whatever it began before has come by now.
                self._left = True
                self._last_max = self._last
                self._out.append(frames.goaway(self._last, frames.NO_ERROR))

    def _on_goaway(self, one: Frame) -> None:
        """The peer will begin no more calls, and hang up itself when it has its answers."""
        if one.stream:
            raise ProtocolError("a GOAWAY of a stream")
        frames.number(one.payload, 4)

    # --- sending ---

    def _head(self, kind: int, flags: int, stream: int, payload: bytes | memoryview) -> None:
        self._out.append(frames.head(len(payload), kind, flags, stream))
        self._out.append(payload)

    def _push(self, found: _Stream) -> None:
        """Send what the windows allow of what a call has to say."""
        unsent = found.unsent
        while unsent:
            data = unsent[0]
            allowed = found.window + self._stream_window
            size = min(len(data), self._frame_bytes_max, allowed, self._window)
            if size <= 0:
                if allowed > 0:
                    self._blocked[found.id] = found
                return
            self._head(frames.DATA, 0, found.id, data[:size])
            found.window -= size
            self._window -= size
            found.unsent_bytes -= size
            self._unsent_bytes -= size
            if size == len(data):
                unsent.popleft()
            else:
                unsent[0] = data[size:]
        if found.closing is not None:
            self._finish(found, found.closing)

    def _unblock(self) -> None:
        # Each step sends something: the work is bounded by what the peer has allowed.
        while self._blocked and self._window > 0:
            self._push(self._blocked.pop(next(iter(self._blocked))))

    def _finish(self, found: _Stream, block: bytes) -> None:
        self._head(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, found.id, block)
        if found.asking:  # the rest of the question is not wanted (RFC 9113, 8.1)
            self._out.append(frames.reset(found.id, frames.NO_ERROR))
        self._forget(found)
        del self._streams[found.id]
        self._last_word()

    def _last_word(self) -> None:
        """A call is over. If it was the last one, it should be known when the peer has read its end.

        A socket that is closed while the peer still says something, be it that its window has grown, throws
        away what it has not yet delivered.
        """
        if self._pings and not self._streams:
            self._ask_heard()

    def _ask_heard(self) -> None:
        self._pings += 1
        self._out.append(frames.frame(frames.PING, 0, 0, _LEAVING))


_LEAVING: Final = b"leaving."
_ALIVE: Final = b"alive?.."
