"""The server's end under test and, opposite, another implementation: `h2` as the client checks every byte."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from h2.settings import SettingCodes, Settings

from http2 import frames
from http2.headers import encode
from http2.messages import Room
from http2.server import Connection, Event, HalfClosed, Limits, Malformed, Message, Opened, Reset

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/p"),
    (":authority", "a"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
BLOCK = encode(REQUEST)
HEAD = encode([(":status", "200"), ("content-type", "application/grpc")])
OK = encode([("grpc-status", "0")])

MESSAGE_BYTES_MAX = 200_000
STREAMS_MAX = 8

Told = tuple[str, int, object]


def limits(
    message_bytes_max: int = MESSAGE_BYTES_MAX, streams_max: int = STREAMS_MAX, room_bytes: int = 1 << 20
) -> Limits:
    """What a connection may ask for, unless the test says otherwise."""
    return Limits(message_bytes_max, streams_max, Room(room_bytes))


def told(events: Iterable[Event]) -> list[Told]:
    """Events as plain values; that a side ends with a message is told like an end after it."""
    out: list[Told] = []
    for event in events:
        if isinstance(event, Opened):
            out.append(("opened", event.stream, dict(event.headers)))
        elif isinstance(event, Message):
            out.append(("message", event.stream, bytes(event.data)))
            if event.last:
                out.append(("ended", event.stream, None))
        elif isinstance(event, HalfClosed):
            out.append(("ended", event.stream, None))
        elif isinstance(event, Malformed):
            out.append(("malformed", event.stream, type(event.error)))
        elif isinstance(event, Reset):
            out.append(("reset", event.stream, None))
    return out


def begun(allowed: Limits | None = None) -> Connection:
    """A connection whose peer has said who it is; nothing is left to send."""
    server = Connection(allowed or limits())
    server.receive(frames.PREFACE + frames.settings({}))
    server.take()
    return server


def opened(stream: int, *, last: bool = False) -> bytes:
    """A request's headers."""
    flags = frames.END_HEADERS | (frames.END_STREAM if last else 0)
    return frames.frame(frames.HEADERS, flags, stream, BLOCK)


def data(stream: int, payload: bytes, *, last: bool = False) -> bytes:
    """A frame of a request's body."""
    return frames.frame(frames.DATA, frames.END_STREAM if last else 0, stream, payload)


def sent(server: Connection) -> list[frames.Frame]:
    """What the server sends, frame by frame."""
    return list(frames.Reader(1 << 24).feed(server.take()))


@dataclass
class Client:
    """The other end, with `window` bytes for each answer.

    Attributes:
        body: what came, by stream; `headers`: header blocks in order, trailers last.
        ended: streams that the server ended, in order; `resets`: by error code.
        goaway: error codes of the server's GOAWAYs.
    """

    server: Connection
    window: int = 65_535
    frame_bytes_max: int = 16_384
    talk: h2.connection.H2Connection = field(init=False)
    body: dict[int, bytearray] = field(default_factory=dict)
    headers: dict[int, list[dict[str, str]]] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    resets: dict[int, int] = field(default_factory=dict)
    goaways: list[int] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    unread: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        form = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.talk = h2.connection.H2Connection(form)
        wanted = {
            SettingCodes.INITIAL_WINDOW_SIZE: self.window,
            SettingCodes.MAX_FRAME_SIZE: self.frame_bytes_max,
        }
        self.talk.local_settings = Settings(client=True, initial_values=wanted)
        self.talk.max_inbound_frame_size = self.frame_bytes_max
        self.talk.initiate_connection()

    def open(self, *extra: tuple[str, str], last: bool = False) -> int:
        """Begin a call; its stream."""
        stream = self.talk.get_next_available_stream_id()
        self.talk.send_headers(stream, [*REQUEST, *extra], end_stream=last)
        self.body[stream] = bytearray()
        self.headers[stream] = []
        return stream

    def speak(self, cuts: Iterable[int] = ()) -> list[Told]:
        """Carry our bytes over, cut at these places; what the server makes of them."""
        out = self.talk.data_to_send()
        places = [0, *sorted(cut % (len(out) + 1) for cut in cuts), len(out)]
        return told(
            event
            for begin, end in pairwise(places)
            for event in self.server.receive(memoryview(out)[begin:end])
        )

    def listen(self, *, read: bool = True) -> None:
        """Carry the server's bytes over; `read` = make room for as many again."""
        for event in self.talk.receive_data(self.server.take()):
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                self.headers[event.stream_id].append(dict(event.headers))
            elif isinstance(event, h2.events.DataReceived):
                self.body[event.stream_id] += event.data
                self.unread[event.stream_id] = (
                    self.unread.get(event.stream_id, 0) + event.flow_controlled_length
                )
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.append(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.resets[event.stream_id] = int(event.error_code)
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaways.append(int(event.error_code))
            elif isinstance(event, h2.events.PingAckReceived):
                self.pongs.append(event.ping_data)
        if read:
            self.read()

    def read(self) -> None:
        """Make room for as much as has come."""
        for stream, size in self.unread.items():
            if size:
                # Not `acknowledge_received_data`: it gives nothing more to a stream whose window was shrunk.
                self.talk.increment_flow_control_window(size)
                with suppress(h2.exceptions.StreamClosedError):
                    self.talk.increment_flow_control_window(size, stream)
        self.unread.clear()

    def exchange(self) -> list[Told]:
        """Carry bytes to and fro until neither side has any; what the server is told meanwhile."""
        found: list[Told] = []
        for _ in range(10_000):
            found += self.speak()
            before = self.talk.data_to_send()
            assert not before
            self.listen()
            out = self.talk.data_to_send()
            if not out:
                return found
            found += told(self.server.receive(out))
        raise AssertionError("they never come to an end")


def meet(server: Connection | None = None, window: int = 65_535, frame_bytes_max: int = 16_384) -> Client:
    """A client and a server after both sides' settings."""
    client = Client(server or Connection(limits()), window, frame_bytes_max)
    assert [] == client.exchange()
    return client
