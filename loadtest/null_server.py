"""A ranker that does nothing: every request is answered at once, unread, with the same ready-made answer.

    python -m loadtest.null_server --candidates 100

It answers `Rank` and `RankStream`. What remains is the client, HTTP/2 and the machine: the floor under every
latency and the ceiling above every rate that a client here can measure. It prints one line, `null: serving on
HOST:PORT`, and ends with its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Final, cast

import numpy as np
import uvloop

from http2.frames import ProtocolError
from http2.headers import encode
from http2.messages import Room, prefixed
from http2.server import Connection, Event, HalfClosed, Limits, Message, Opened
from loadtest.client import envelope
from loadtest.client.door import MESSAGE_BYTES_MAX, RANK, RANK_STREAM
from podium.v1 import ranking_pb2 as pb

READY: Final = "null: serving on "
STREAMS_MAX: Final = 10_000
"""Calls at once on one connection: more than a client process has in flight."""
IN_FLIGHT_MAX: Final = 1 << 20
"""As the notice says it: nothing is ever in flight here."""
PARTS_BYTES_MAX: Final = 1 << 30
"""Of requests that have come in part, per connection."""
_UNARY, _STREAM = RANK.encode(), RANK_STREAM.encode()
_HEAD: Final = encode([(":status", "200"), ("content-type", "application/grpc")])
_OK: Final = encode([("grpc-status", "0")])
_UNIMPLEMENTED: Final = encode(
    [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "12")]
)


def answer(candidates: int) -> bytes:
    """A whole answer: the prior order with falling scores."""
    reply: bytes = pb.RankResponse(
        model="null",
        version=1,
        variant="null",
        step=pb.STEP_FULL,
        order=range(candidates),
        scores=np.arange(candidates, 0, -1, dtype="<f4").tobytes(),
        coverage=pb.Coverage(candidates=candidates, scored=candidates),
    ).SerializeToString()
    return reply


class _Link(asyncio.Protocol):
    """One connection, among `links` while it stands."""

    def __init__(self, reply: bytes, links: set[_Link]) -> None:
        self.gone = asyncio.get_running_loop().create_future()
        self._links = links
        self._reply = reply
        self._prefixed = prefixed(reply)
        self._connection = Connection(Limits(MESSAGE_BYTES_MAX, STREAMS_MAX, Room(PARTS_BYTES_MAX)))
        self._streams: set[int] = set()
        """Calls of RankStream."""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say the settings."""
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._connection.take())
        self._links.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """The socket is gone."""
        self._links.discard(self)
        self.gone.set_result(None)

    def hang_up(self) -> None:
        """At once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer everything that has come, in one write."""
        try:
            for event in self._connection.receive(data):
                self._on(event)
        except ProtocolError as error:
            self._connection.break_off(error)
            self._transport.write(self._connection.take())
            self._transport.close()
            return
        self._transport.write(self._connection.take())

    def pause_writing(self) -> None:
        """The peer does not read: neither do we."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._transport.resume_reading()

    def _on(self, event: Event) -> None:
        if isinstance(event, Message):
            if event.stream not in self._streams:
                self._connection.answer(event.stream, _HEAD, self._prefixed, _OK)
                return
            number = envelope.asked(event.data)
            if number is not None:
                self._connection.send(event.stream, envelope.ranked(number, self._reply))
            if event.last:
                self._ended(event.stream)
        elif isinstance(event, Opened):
            self._opened(event.stream, event.headers.get(b":path", b""))
        elif isinstance(event, HalfClosed):
            self._ended(event.stream)
        else:  # reset, or malformed: an instrument's client knows what it sends
            self._streams.discard(event.stream)

    def _opened(self, stream: int, path: bytes) -> None:
        if path == _STREAM:
            self._streams.add(stream)
            self._connection.begin(stream, _HEAD)
            greeting = pb.StreamResponse(notice=pb.Notice(in_flight_max=IN_FLIGHT_MAX))
            self._connection.send(stream, prefixed(greeting.SerializeToString()))
        elif path != _UNARY:
            self._connection.end(stream, _UNIMPLEMENTED)

    def _ended(self, stream: int) -> None:
        if stream in self._streams:
            self._streams.discard(stream)
            self._connection.end(stream, _OK)


async def serve(candidates: int, say: Callable[[str], None], until: Awaitable[object]) -> None:
    """Serve on a free port of the loopback until `until` comes about.

    Args:
        say: told host:port.
    """
    reply = answer(candidates)
    links: set[_Link] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Link(reply, links), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    say(f"{host}:{port}")
    await until
    server.close()
    left = list(links)
    for link in left:
        link.hang_up()
    await asyncio.gather(*(link.gone for link in left))


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.null_server")
    parser.add_argument("--candidates", type=int, default=100)
    candidates = parser.parse_args().candidates
    ends = asyncio.to_thread(sys.stdin.read)
    uvloop.run(serve(candidates, lambda address: print(f"{READY}{address}", flush=True), ends))


if __name__ == "__main__":
    main()
