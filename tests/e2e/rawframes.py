"""HTTP/2 frames on a bare socket: a peer who may break every rule, and who reads only when told to."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hpack import Decoder

from http2 import frames
from http2.frames import Frame
from http2.headers import encode
from tests.e2e.calls import CALL_S_MAX

RANK = "/podium.v1.Ranker/Rank"
_READ_BYTES = 1 << 16


def request_block(path: str = RANK, content_type: str = "application/grpc", **more: str) -> bytes:
    """A call's headers; `_` in a name stands for `-`."""
    pseudo = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test")]
    others = [(name.replace("_", "-"), value) for name, value in more.items()]
    return encode([*pseudo, ("te", "trailers"), ("content-type", content_type), *others])


def opened(stream: int, block: bytes = request_block(), *, last: bool = False) -> bytes:
    """A call's beginning."""
    flags = frames.END_HEADERS | (frames.END_STREAM if last else 0)
    return frames.frame(frames.HEADERS, flags, stream, block)


def data(stream: int, payload: bytes, *, last: bool = False) -> bytes:
    """A part of a call's body."""
    return frames.frame(frames.DATA, frames.END_STREAM if last else 0, stream, payload)


class Peer:
    """One connection.

    Attributes:
        frames: what came, in order.
    """

    def __init__(self, target: str, hello: bytes) -> None:
        host, _, port = target.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), CALL_S_MAX)
        self.socket.sendall(hello)
        self.frames: list[Frame] = []
        self._reader = frames.Reader(1 << 24)
        self._decoder = Decoder()

    def send(self, *parts: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(b"".join(parts))

    def send_until_blocked(self, part: bytes, bytes_max: int, blocked_s: float = 0.5) -> int:
        """Send it again and again until the server has taken nothing for so long; how many bytes it took."""
        sent, chunk = 0, part * (65_536 // len(part) + 1)
        self.socket.settimeout(blocked_s)
        try:
            while sent < bytes_max:
                sent += self.socket.send(chunk[sent % len(part) :])
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(CALL_S_MAX)
        return sent

    def read(self) -> bool:
        """Take what has come, or wait for it; False when the server has hung up."""
        try:
            came = self.socket.recv(_READ_BYTES)
        except ConnectionResetError:
            return False
        self.frames += self._reader.feed(came)
        return bool(came)

    def read_to_end(self) -> list[Frame]:
        """Until the server hangs up; all that it said."""
        while self.read():
            pass
        return self.frames

    def read_until(self, kind: int, stream: int = 0) -> Frame:
        """Until such a frame has come, which is taken out; fails if the server hangs up before."""
        while True:
            for one in self.frames:
                if (one.kind, one.stream) == (kind, stream):
                    self.frames.remove(one)
                    return one
            assert self.read(), "the server hung up"

    def headers(self, stream: int) -> dict[str, str]:
        """The next header block of a call. Blocks must be asked for in the order in which they come."""
        block = self.read_until(frames.HEADERS, stream)
        return {str(name): str(value) for name, value in self._decoder.decode(bytes(block.payload))}

    def closed_with(self) -> int | None:
        """Wait until the server hangs up; the code of its last GOAWAY."""
        codes = [frames.number(one.payload, 4) for one in self.read_to_end() if one.kind == frames.GOAWAY]
        return codes[-1] if codes else None

    def answers_pings(self, for_s: float) -> bool:
        """Read, and answer each PING, for a while; False when the server hangs up."""
        ends_s = time.monotonic() + for_s
        while time.monotonic() < ends_s:
            self.socket.settimeout(max(ends_s - time.monotonic(), 0.001))
            try:
                if not self.read():
                    return False
            except TimeoutError:
                return True
            finally:
                self.socket.settimeout(CALL_S_MAX)
            self.pong()
        return True

    def pong(self) -> None:
        """Answer every PING that has been read."""
        pings = [one for one in self.frames if one.kind == frames.PING and not one.flags & frames.ACK]
        for one in pings:
            self.frames.remove(one)
            self.send(frames.frame(frames.PING, frames.ACK, 0, bytes(one.payload)))


@contextmanager
def peer(target: str, settings: dict[int, int] | None = None, hello: Sequence[bytes] = ()) -> Iterator[Peer]:
    """A connection that is closed at the end; it has said its settings, or else `hello`."""
    begun = b"".join(hello) or frames.PREFACE + frames.settings(settings or {})
    one = Peer(target, begun)
    try:
        yield one
    finally:
        one.socket.close()
