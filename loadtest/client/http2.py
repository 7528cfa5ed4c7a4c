"""The door through our own HTTP/2 client: unary gRPC with little between the plan and the socket."""

from __future__ import annotations

import asyncio
import time
from typing import Final, NamedTuple

from http2 import headers
from http2.client import Event, Finished, Unprocessed
from loadtest.client.door import GONE, LATE, RANK, SWEEP_S, UNREADABLE_FRAME, Ended, Settle
from loadtest.client.links import Link, Links, request_headers
from loadtest.client.trailers import meaning

_PREFIX: Final = 5


class _Asked(NamedTuple):
    """A request in flight."""

    message: bytes
    timeout_s: float
    deadline_ns: int
    settle: Settle
    resent: bool


class Http2:
    """`Ranker.Rank`, one HTTP/2 stream per request, over several TCP connections in turn."""

    def __init__(self, address: str, connections: int) -> None:
        self._address = address
        self._links = Links(address, connections, self)
        self._asked: dict[int, _Asked] = {}
        self._blocks: dict[float, bytes] = {}

    async def open(self) -> None:
        """Wait until every connection stands and the server has said its settings."""
        await self._links.open()
        self._links.own(self._sweep())

    def ask(self, number: int, message: bytes, timeout_s: float, settle: Settle) -> None:
        """Send over the next connection; where none can be had the request ends as UNAVAILABLE."""
        deadline_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        self._asked[number] = _Asked(message, timeout_s, deadline_ns, settle, resent=False)
        self._send(number)

    async def close(self) -> None:
        """Close every connection."""
        await self._links.close()

    def heard(self, _: Link, event: Event, at_ns: int) -> None:
        """A request has ended."""
        if isinstance(event, Finished):
            number = event.token
            assert isinstance(number, int)
            self._settle(number, at_ns, _said(event))
        elif isinstance(event, Unprocessed):
            self._resend(event)

    def leaving(self, link: Link) -> None:
        """What is in flight ends as if nothing were."""

    def lost(self, _: Link, tokens: list[object]) -> None:
        """Everything in flight on a connection is gone with it."""
        for number in tokens:
            assert isinstance(number, int)
            self._settle(number, time.monotonic_ns(), GONE)

    def _resend(self, found: Unprocessed) -> None:
        """The server did not look at these: as any gRPC client does, send them once more, elsewhere."""
        for number in found.tokens:
            assert isinstance(number, int)
            asked = self._asked[number]
            if asked.resent:
                self._settle(number, time.monotonic_ns(), GONE)
            else:
                self._asked[number] = asked._replace(resent=True)
                self._send(number)

    def _send(self, number: int) -> None:
        link = self._links.next()
        if link is None:
            self._links.later(lambda found: self._send_over(found, number))
        else:
            self._send_over(link, number)

    def _send_over(self, link: Link | None, number: int) -> None:
        asked = self._asked.get(number)
        if asked is None:
            return  # it was given up meanwhile
        if link is None:
            self._settle(number, time.monotonic_ns(), GONE)
            return
        prefix = b"\0" + len(asked.message).to_bytes(4, "big")
        link.call(number, self._block(asked.timeout_s), prefix, asked.message)

    def _settle(self, number: int, at_ns: int, said: bytes | Ended) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:  # else it was given up meanwhile
            asked.settle(number, at_ns, said)

    def _block(self, timeout_s: float) -> bytes:
        """The request's headers, made once per deadline."""
        if timeout_s not in self._blocks:
            timeout = ("grpc-timeout", f"{round(timeout_s * 1e3)}m")
            self._blocks[timeout_s] = headers.encode(request_headers(RANK, self._address, timeout))
        return self._blocks[timeout_s]

    async def _sweep(self) -> None:
        """Give up what is past its deadline."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now_ns = time.monotonic_ns()
            for number in [at for at, asked in self._asked.items() if asked.deadline_ns <= now_ns]:
                for link in self._links:  # one that is left by the server ends it itself
                    link.cancel(number)
                self._settle(number, now_ns, LATE)


def _said(found: Finished) -> bytes | Ended:
    """An answer, or what its status means."""
    end = meaning(found)
    if end is not None:
        return end
    data = found.data
    if len(data) < _PREFIX or data[0] or int.from_bytes(data[1:_PREFIX], "big") != len(data) - _PREFIX:
        return UNREADABLE_FRAME
    return data[_PREFIX:]
