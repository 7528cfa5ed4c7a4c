"""The connections of a door that speaks our own HTTP/2: so many, in turn, each replaced when it is gone.

A link carries bytes between a socket and a `Conversation`; what the events mean is its owner's to say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, Protocol, cast

from http2.client import Conversation, Event
from http2.frames import ProtocolError
from loadtest.client.door import CONNECT_S_MAX

AGAIN_S_MIN, AGAIN_S_MAX = 0.05, 1.0
"""Between attempts to connect again."""
USER_AGENT: Final = "podium-loadtest"


class Owner(Protocol):
    """Whose calls the links carry."""

    def heard(self, link: Link, event: Event, at_ns: int) -> None:
        """Something became of a call, seen at that monotonic instant."""

    def leaving(self, link: Link) -> None:
        """The server takes no more calls on this connection; those that it has go on."""

    def lost(self, link: Link, tokens: list[object]) -> None:
        """A connection is gone, and with it these calls."""


class Link(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._talk = Conversation()
        self._transport: asyncio.Transport | None = None
        self._left = False
        self.ready: asyncio.Future[None]

    @property
    def open(self) -> bool:
        """Takes calls."""
        return self._transport is not None and self._talk.ready and not self._talk.closing

    def begin(self, ready: asyncio.Future[None]) -> None:
        """Before connecting."""
        self.ready = ready

    def call(self, token: object, block: bytes, lead: bytes, message: bytes) -> None:
        """As `Conversation.call`."""
        self._write(self._talk.call(token, block, lead, message))

    def start(self, token: object, block: bytes) -> None:
        """As `Conversation.open`."""
        self._write(self._talk.open(token, block))

    def send(self, token: object, lead: bytes, message: bytes = b"") -> None:
        """As `Conversation.send`."""
        self._write(self._talk.send(token, lead, message))

    def withdraw(self, token: object, lead: bytes) -> bool:
        """As `Conversation.withdraw`."""
        return self._talk.withdraw(token, lead)

    def finish(self, token: object) -> None:
        """As `Conversation.finish`."""
        self._write(self._talk.finish(token))

    def cancel(self, token: object) -> None:
        """Forget a call, if it is one of this connection's."""
        self._write(self._talk.cancel(token))

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
            self._links.leaving(self)
        for event in events:
            self._links.owner.heard(self, event, at_ns)

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        tokens, self._transport = self._talk.tokens, None
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("closed before it began"))
            return
        self._links.lost(self, tokens)

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)


class Links:
    """So many connections to one address. Belongs to the event loop that runs when it is opened."""

    def __init__(self, address: str, connections: int, owner: Owner) -> None:
        self.owner = owner
        self._address = address
        self._all = [Link(self) for _ in range(connections)]
        self._left: set[Link] = set()
        """The server takes no more calls on these, and still has some."""
        self._turn = 0
        self._connecting = 0
        self._waiting: list[Callable[[Link | None], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def __iter__(self) -> Iterator[Link]:
        return iter(self._all)

    async def open(self) -> None:
        """Wait until every connection stands and the server has said its settings.

        Raises:
            ConnectionError: nobody answers.
        """
        try:
            connecting = asyncio.gather(*(self._connect(link) for link in self._all))
            await asyncio.wait_for(connecting, CONNECT_S_MAX)
        except (TimeoutError, OSError, ValueError) as error:
            raise ConnectionError(f"no server answers at {self._address}") from error

    def next(self) -> Link | None:
        """The next connection that stands; None when none does."""
        for _ in self._all:
            self._turn = (self._turn + 1) % len(self._all)
            link = self._all[self._turn]
            if link.open:
                return link
        return None

    def later(self, act: Callable[[Link | None], None]) -> None:
        """When `next` has none: act on the connection that is being made, or on None when none comes about.

        As any gRPC client: a request waits for a connection's first attempt, and for no second one.
        """
        if self._connecting:
            self._waiting.append(act)
        else:
            asyncio.get_running_loop().call_soon(act, None)

    def own(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this until `close`."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for link in (*self._all, *self._left):
            link.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def leaving(self, link: Link) -> None:
        """The server wants to be rid of this connection: another takes its place at once."""
        self._left.add(link)
        self._replace(link)
        self.owner.leaving(link)

    def lost(self, link: Link, tokens: list[object]) -> None:
        """A connection is gone."""
        self._left.discard(link)
        self._replace(link)
        self.owner.lost(link, tokens)

    def _replace(self, link: Link) -> None:
        if link in self._all and not self._closed:
            at = self._all.index(link)
            self._all[at] = Link(self)
            self._connecting += 1
            self.own(self._again(at))

    async def _connect(self, link: Link) -> None:
        host, _, port = self._address.rpartition(":")
        loop = asyncio.get_running_loop()
        link.begin(loop.create_future())
        await loop.create_connection(lambda: link, host.strip("[]"), int(port))
        await link.ready

    async def _again(self, at: int) -> None:
        """A new connection in that place; each attempt is a link of its own."""
        stands = await self._attempt(at)
        self._connecting -= 1
        self._serve_waiting()
        wait_s = AGAIN_S_MIN
        while not stands:
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_S_MAX)
            stands = await self._attempt(at)

    async def _attempt(self, at: int) -> bool:
        link = self._all[at] = Link(self)
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await self._connect(link)
        except (OSError, TimeoutError):
            self._all[at] = Link(self)  # whatever still becomes of the failed one is nobody's
            link.close()
            return False
        return True

    def _serve_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            link = self.next()
            if link is None and self._connecting:
                self._waiting.append(act)
            else:
                act(link)


def request_headers(path: str, address: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """What every gRPC call begins with."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", address),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", USER_AGENT),
        *more,
    ]
