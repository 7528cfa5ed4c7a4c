"""The door through our own HTTP/2 client: unary gRPC with little between the plan and the socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from typing import Final, NamedTuple, cast

from http2 import headers
from http2.client import Conversation, Finished, Unprocessed
from http2.frames import ProtocolError
from http2.headers import Headers
from loadtest.client.door import CONNECT_S_MAX, RANK, Ended, Settle, ended
from loadtest.records import FAILED, TIMEOUT

SWEEP_S: Final = 0.02
"""How often deadlines are looked at: they are seconds away, and what timed out is infinitely late anyway."""
AGAIN_S_MIN, AGAIN_S_MAX = 0.05, 1.0
"""Between attempts to connect again."""
GONE: Final = Ended(FAILED, "UNAVAILABLE", 14)
LATE: Final = Ended(TIMEOUT, "DEADLINE_EXCEEDED", 4)
_RESETS: Final = {8: "CANCELLED", 11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED"}
_CODES: Final = {"CANCELLED": 1, "RESOURCE_EXHAUSTED": 8, "PERMISSION_DENIED": 7}
"""HTTP/2's error codes as gRPC's "HTTP2 Transport Mapping" has them; every other one is INTERNAL."""
_UNKNOWN: Final = 2
_INTERNAL: Final = 13
_PREFIX: Final = 5


class _Asked(NamedTuple):
    """A request in flight."""

    message: bytes
    timeout_s: float
    deadline_ns: int
    settle: Settle
    resent: bool


class Http2:
    """`Ranker.Rank`, one stream per request, over several TCP connections in turn."""

    def __init__(self, address: str, connections: int) -> None:
        self._address = address
        self._links = [_Link(self) for _ in range(connections)]
        self._turn = 0
        self._asked: dict[int, _Asked] = {}
        self._blocks: dict[float, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def open(self) -> None:
        """Wait until every connection stands and the server has said its settings."""
        try:
            await asyncio.wait_for(
                asyncio.gather(*(self._connect(link) for link in self._links)), CONNECT_S_MAX
            )
        except (TimeoutError, OSError, ValueError) as error:
            raise ConnectionError(f"no server answers at {self._address}") from error
        self._own(self._sweep())

    def ask(self, number: int, message: bytes, timeout_s: float, settle: Settle) -> None:
        """Send over the next connection that stands; without one the request ends as UNAVAILABLE."""
        deadline_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        self._asked[number] = _Asked(message, timeout_s, deadline_ns, settle, resent=False)
        self._send(number)

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for link in self._links:
            link.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def finished(self, found: Finished, at_ns: int) -> None:
        """A link has seen a request's end."""
        number = found.token
        assert isinstance(number, int)
        self._settle(number, at_ns, _said(found))

    def unprocessed(self, found: Unprocessed) -> None:
        """The server did not look at these: as any gRPC client does, send them once more, elsewhere."""
        for number in found.tokens:
            assert isinstance(number, int)
            asked = self._asked[number]
            if asked.resent:
                self._settle(number, time.monotonic_ns(), GONE)
            else:
                self._asked[number] = asked._replace(resent=True)
                self._send(number)

    def leaving(self, link: _Link) -> None:
        """The server takes no more requests on this connection: another takes its place at once."""
        if link in self._links:
            self._own(self._replace(self._links.index(link)))

    def lost(self, link: _Link, tokens: list[object]) -> None:
        """A connection is gone, and with it everything in flight on it."""
        for number in tokens:
            assert isinstance(number, int)
            self._settle(number, time.monotonic_ns(), GONE)
        if not self._closed:
            self.leaving(link)

    def _send(self, number: int) -> None:
        asked = self._asked[number]
        for _ in self._links:
            self._turn = (self._turn + 1) % len(self._links)
            link = self._links[self._turn]
            if link.open:
                length = len(asked.message).to_bytes(4, "big")
                link.call(number, self._block(asked.timeout_s), b"\0" + length + asked.message)
                return
        loop = asyncio.get_running_loop()
        loop.call_soon(self._settle, number, time.monotonic_ns(), GONE)

    def _settle(self, number: int, at_ns: int, said: bytes | Ended) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:  # else it was given up meanwhile
            asked.settle(number, at_ns, said)

    def _block(self, timeout_s: float) -> bytes:
        """The request's headers, made once per deadline."""
        if timeout_s not in self._blocks:
            self._blocks[timeout_s] = headers.encode(
                [
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", RANK),
                    (":authority", self._address),
                    ("te", "trailers"),
                    ("content-type", "application/grpc"),
                    ("user-agent", "podium-loadtest"),
                    ("grpc-timeout", f"{round(timeout_s * 1e3)}m"),
                ]
            )
        return self._blocks[timeout_s]

    async def _connect(self, link: _Link) -> None:
        host, _, port = self._address.rpartition(":")
        loop = asyncio.get_running_loop()
        link.begin(loop.create_future())
        await loop.create_connection(lambda: link, host.strip("[]"), int(port))
        await link.ready

    async def _replace(self, at: int) -> None:
        """A new connection in the place of another; each attempt is a link of its own."""
        wait_s = 0.0
        while not self._closed:
            link = self._links[at] = _Link(self)
            try:
                async with asyncio.timeout(CONNECT_S_MAX):
                    await self._connect(link)
            except (OSError, TimeoutError):
                self._links[at] = _Link(self)  # whatever still becomes of the failed one is nobody's
                link.close()
            else:
                return
            wait_s = min(max(2 * wait_s, AGAIN_S_MIN), AGAIN_S_MAX)
            await asyncio.sleep(wait_s)

    async def _sweep(self) -> None:
        """Give up what is past its deadline."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now_ns = time.monotonic_ns()
            for number in [at for at, asked in self._asked.items() if asked.deadline_ns <= now_ns]:
                for link in self._links:  # one that is left by the server ends it itself
                    link.cancel(number)
                self._settle(number, now_ns, LATE)

    def _own(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Link(asyncio.Protocol):
    """One TCP connection: carries bytes between a socket and a `Conversation`."""

    def __init__(self, door: Http2) -> None:
        self._door = door
        self._talk = Conversation()
        self._transport: asyncio.Transport | None = None
        self._left = False
        self.ready: asyncio.Future[None]

    @property
    def open(self) -> bool:
        """Takes requests."""
        return self._transport is not None and self._talk.ready and not self._talk.closing

    def begin(self, ready: asyncio.Future[None]) -> None:
        """Before connecting."""
        self.ready = ready

    def call(self, number: int, block: bytes, message: bytes) -> None:
        """Send a request."""
        self._write(self._talk.call(number, block, message))

    def cancel(self, number: int) -> None:
        """Forget a request, if it is one of this connection's."""
        self._write(self._talk.cancel(number))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket stands."""
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._talk.begin())

    def data_received(self, data: bytes) -> None:
        """Bytes came: their instant is that of every answer that ends in them."""
        at_ns = time.monotonic_ns()
        try:
            events, out = self._talk.receive(data)
        except ProtocolError:
            self.close()
            return
        self._write(out)
        if self._talk.ready and not self.ready.done():
            self.ready.set_result(None)
        if self._talk.closing and not self._left:
            self._left = True
            self._door.leaving(self)
        for event in events:
            if isinstance(event, Finished):
                self._door.finished(event, at_ns)
            else:
                self._door.unprocessed(event)

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        tokens, self._transport = self._talk.tokens, None
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("closed before it began"))
            return
        self._door.lost(self, tokens)

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)


def _said(found: Finished) -> bytes | Ended:
    """An answer, or what its status means."""
    if found.reset is not None:
        name = _RESETS.get(found.reset, "INTERNAL")
        return Ended(FAILED, name, _CODES.get(name, _INTERNAL))
    status = found.trailers.get(b"grpc-status")
    if status is None:
        http = (found.head or found.trailers).get(b":status", b"no status").decode("ascii", "replace")
        return Ended(FAILED, f"HTTP_{http}", _UNKNOWN)
    if status != b"0":
        return ended(int(status) if status.isdigit() else _UNKNOWN, _metadata(found.trailers))
    data = found.data
    if len(data) < _PREFIX or data[0] or int.from_bytes(data[1:_PREFIX], "big") != len(data) - _PREFIX:
        return Ended(FAILED, "UNREADABLE_FRAME", _INTERNAL)
    return data[_PREFIX:]


def _metadata(trailers: Headers) -> list[tuple[str, str | bytes]]:
    """As gRPC hands it out: text, and bytes under names that end in -bin."""
    said: list[tuple[str, str | bytes]] = []
    for name, value in trailers.items():
        key = name.decode("ascii", "replace")
        if key.endswith("-bin"):
            with contextlib.suppress(ValueError):
                said.append((key, base64.b64decode(value + b"=" * (-len(value) % 4))))
        else:
            said.append((key, value.decode("ascii", "replace")))
    return said
