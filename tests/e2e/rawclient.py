"""A gRPC client on a bare socket, for what no library does: leave windows shut, read nothing, just vanish."""

from __future__ import annotations

import select
import socket
import struct
import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes

from podium.v1 import ranking_pb2 as pb
from protos import refusal
from tests.e2e.calls import CALL_S_MAX

WINDOW_MAX = 2**31 - 1
_WINDOW_INITIAL = 65_535
_READ_BYTES = 1 << 18
_SEND_BYTES = 1 << 16
_HEAD_BYTES, _GOAWAY = 9, 7
"""Of a frame (RFC 9113, 4.1, 6.8)."""


def framed(message: bytes) -> bytes:
    """A message with gRPC's prefix."""
    return b"\0" + struct.pack(">I", len(message)) + message


def reason(trailers: dict[str, str]) -> str:
    """ErrorInfo's reason."""
    encoded = trailers[refusal.DETAILS_KEY]
    data = b64decode(encoded + "=" * (-len(encoded) % 4))
    return refusal.read([(refusal.DETAILS_KEY, data)]).reason


class RawClient:
    """One connection. After the greeting nothing is read, and no window opened, unless the test says so.

    Attributes:
        data: what came, by stream.
        headers: by stream, each block that came: headers first, trailers last.
        ended: streams that the server has ended.
        goaways: how often the server has said that it leaves.
    """

    def __init__(self, target: str, window: int, *, buffer_bytes: int | None = None) -> None:
        """Args: `window`: of every stream; `buffer_bytes`: of the socket's own, each way."""
        host, _, port = target.rpartition(":")
        self._socket = socket.socket()
        if buffer_bytes is not None:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self._socket.setsockopt(socket.SOL_SOCKET, option, buffer_bytes)
        self._socket.settimeout(CALL_S_MAX)
        self._socket.connect((host, int(port)))
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._connection = h2.connection.H2Connection(config)
        self._connection.initiate_connection()
        self._connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        if window > _WINDOW_INITIAL:
            self._connection.increment_flow_control_window(window - _WINDOW_INITIAL)
        self.data: dict[int, bytearray] = {}
        self.headers: dict[int, list[dict[str, str]]] = {}
        self.ended: set[int] = set()
        self.goaways = 0
        self._received = bytearray()
        self.flush()
        while self._connection.outbound_flow_control_window <= _WINDOW_INITIAL:
            self.read()  # the server's settings, and how much it takes

    def open(self, path: str, headers: Sequence[tuple[str, str]] = ()) -> int:
        """Begin a call; its stream."""
        stream = self._connection.get_next_available_stream_id()
        pseudo = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test")]
        grpc = [("content-type", "application/grpc"), ("te", "trailers")]
        self._connection.send_headers(stream, [*pseudo, *grpc, *headers])
        self.data[stream] = bytearray()
        self.headers[stream] = []
        return stream

    def open_rank_stream(self, *headers: tuple[str, str]) -> int:
        """Begin a RankStream; its stream."""
        return self.open("/podium.v1.Ranker/RankStream", headers)

    def put(self, stream: int, data: bytes, *, last: bool = False) -> None:
        """Queue bytes of a call, as much as the server's window takes at once."""
        size_max = self._connection.max_outbound_frame_size
        for at in range(0, len(data), size_max):
            self._connection.send_data(stream, data[at : at + size_max])
        if last:
            self._connection.end_stream(stream)

    def room(self, stream: int) -> int:
        """Bytes that the server's windows let through."""
        return self._connection.local_flow_control_window(stream)

    def flush(self) -> None:
        """Send what is queued."""
        self._socket.sendall(self._connection.data_to_send())

    def send_for_a_while(self) -> memoryview:
        """Send what is queued, until nothing is taken for a second; what is left."""
        data = memoryview(self._connection.data_to_send())
        self._socket.settimeout(1.0)
        with suppress(TimeoutError):
            while data:
                data = data[self._socket.send(data[:_SEND_BYTES]) :]
        self._socket.settimeout(CALL_S_MAX)
        return data

    def send_while_reading(self, data: memoryview) -> None:
        """Send these bytes, and meanwhile take what comes."""
        while data:
            readable, writable, _ = select.select([self._socket], [self._socket], [], CALL_S_MAX)
            assert readable or writable, "the server takes nothing and says nothing"
            if readable:
                self._take()
            if writable:
                data = data[self._socket.send(data[:_SEND_BYTES], socket.MSG_DONTWAIT) :]

    def widen(self, stream: int, size: int) -> None:
        """Open a call's and the connection's window by so many bytes."""
        self._connection.increment_flow_control_window(size, stream)
        self._connection.increment_flow_control_window(size)
        self.flush()

    def read(self) -> None:
        """Take what has come, or wait for it; fails if the server hung up."""
        self._take()
        self.flush()

    def read_ready(self) -> None:
        """Take what has come."""
        while select.select([self._socket], [], [], 0)[0]:
            self.read()

    def read_to_end(self, stream: int) -> dict[str, str]:
        """Until the server has ended a call; its trailers."""
        while stream not in self.ended:
            self.read()
        return self.headers[stream][-1]

    def messages(self, stream: int) -> list[bytes]:
        """The whole messages of a call so far."""
        data, at, found = bytes(self.data[stream]), 0, []
        while at + 5 <= len(data):
            (size,) = struct.unpack_from(">I", data, at + 1)
            if at + 5 + size > len(data):
                break
            found.append(data[at + 5 : at + 5 + size])
            at += 5 + size
        return found

    def responses(self, stream: int) -> list[pb.StreamResponse]:
        """The whole messages of a RankStream so far."""
        return [pb.StreamResponse.FromString(message) for message in self.messages(stream)]

    def _take(self) -> None:
        data = self._socket.recv(_READ_BYTES)
        assert data, "the server hung up"
        for event in self._connection.receive_data(self._without_goaway(data)):
            if isinstance(event, h2.events.DataReceived):
                self.data[event.stream_id] += event.data
            elif isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                self.headers[event.stream_id].append(dict(event.headers))
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)

    def _without_goaway(self, data: bytes) -> bytes:
        """Whole frames; h2 hears nothing more after a GOAWAY, so it hears none."""
        self._received += data
        heard = bytearray()
        while len(self._received) >= _HEAD_BYTES:
            end = _HEAD_BYTES + int.from_bytes(self._received[:3], "big")
            if len(self._received) < end:
                break
            if self._received[3] == _GOAWAY:
                self.goaways += 1
            else:
                heard += self._received[:end]
            del self._received[:end]
        return bytes(heard)

    def pause(self, pause_s: float) -> None:
        """Let time pass."""
        time.sleep(pause_s)

    def vanish(self) -> None:
        """Reset the connection, as a process that is killed."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@contextmanager
def raw(target: str, window: int = WINDOW_MAX, *, buffer_bytes: int | None = None) -> Iterator[RawClient]:
    """A connection that is closed at the end."""
    client = RawClient(target, window, buffer_bytes=buffer_bytes)
    try:
        yield client
    finally:
        client.close()
