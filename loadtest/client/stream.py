"""The door through `Ranker.RankStream` on our own HTTP/2 client: one stream per connection.

A stream that the server drains takes no more requests: the next one opens another, on the same connection
while the server takes calls there, else on the one that replaces it. Its answers are still waited for; with
the last of them the drained stream is closed from here, as the contract asks.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from http2 import headers
from http2.client import Event, Finished, Received, Unprocessed
from http2.messages import MessageError, MessageReader, Room
from loadtest.client import envelope
from loadtest.client.door import (
    CONNECT_S_MAX,
    GONE,
    LATE,
    MESSAGE_BYTES_MAX,
    RANK_STREAM,
    SWEEP_S,
    UNREADABLE_FRAME,
    Ended,
    Settle,
    refused,
)
from loadtest.client.links import Link, Links, request_headers
from loadtest.client.trailers import INTERNAL, meaning
from loadtest.records import FAILED
from podium.v1 import ranking_pb2 as pb

UNANSWERED: Final = Ended(FAILED, "UNANSWERED", INTERNAL)
"""The server ended the stream in good order, without an answer that it owed."""


class _Asked(NamedTuple):
    """A request in flight on a stream."""

    number: int
    message: bytes
    deadline_ns: int
    settle: Settle
    resent: bool


class _Stream:
    """One RankStream. Its ids count up from 1; it is its own token."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.asked: dict[int, _Asked] = {}
        self.draining = False
        self.reader = MessageReader(MESSAGE_BYTES_MAX, Room(MESSAGE_BYTES_MAX))
        self.opened: asyncio.Future[Ended | None] = asyncio.get_running_loop().create_future()
        """Set once: None by the server's first word, else how the stream ended without one."""
        self._last_id = 0

    def send(self, asked: _Asked) -> None:
        """Ask."""
        self._last_id += 1
        self.asked[self._last_id] = asked
        self.link.send(self, envelope.rank(self._last_id, len(asked.message)), asked.message)

    def take_back(self, number: int) -> _Asked:
        """Give a request up: unsent as long as flow control held it back, else told to the server."""
        asked = self.asked.pop(number)
        if not self.link.withdraw(self, envelope.rank(number, len(asked.message))):
            self.link.send(self, envelope.cancel(number))
        return asked

    def finish_if_drained(self) -> None:
        """Close our side of a drained stream with the last answer."""
        if self.draining and not self.asked:
            self.link.finish(self)

    def greeted(self, end: Ended | None) -> None:
        """The server's first word, or the stream's end before it."""
        if not self.opened.done():
            self.opened.set_result(end)


class Stream:
    """`Ranker.RankStream`, one stream per connection, over several TCP connections in turn."""

    def __init__(self, address: str, connections: int) -> None:
        self._address = address
        self._links = Links(address, connections, self)
        self._current: dict[Link, _Stream] = {}
        """The stream of each link that takes requests."""
        self._streams: set[_Stream] = set()
        """All that are not over."""
        self._waiting: dict[int, _Asked] = {}
        """By number: for a connection that is being made."""
        self._block = headers.encode(request_headers(RANK_STREAM, address))

    async def open(self) -> None:
        """Wait until every connection stands and the server has greeted on a stream of each.

        Raises:
            ConnectionError: nobody answers, or not to this method.
        """
        await self._links.open()
        opened = [self._begin(link).opened for link in self._links]
        try:
            ends = await asyncio.wait_for(asyncio.gather(*opened), CONNECT_S_MAX)
        except TimeoutError:
            raise ConnectionError(f"{self._address} does not greet on a RankStream") from None
        for end in ends:
            if end is not None:
                raise ConnectionError(f"{self._address} does not open a RankStream: {end.reason}")
        self._links.own(self._sweep())

    def ask(self, number: int, message: bytes, timeout_s: float, settle: Settle) -> None:
        """Send over the next connection; where none can be had the request ends as UNAVAILABLE."""
        deadline_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        self._send(_Asked(number, message, deadline_ns, settle, resent=False))

    async def close(self) -> None:
        """Close every stream and connection."""
        for stream in self._streams:
            stream.link.finish(stream)
        await self._links.close()

    def heard(self, _: Link, event: Event, at_ns: int) -> None:
        """Answers came, or a stream has ended."""
        if isinstance(event, Received):
            stream = event.token
            assert isinstance(stream, _Stream)
            self._received(stream, event.data, at_ns)
        elif isinstance(event, Finished):
            stream = event.token
            assert isinstance(stream, _Stream)
            self._over(stream, meaning(event) or UNANSWERED, at_ns)
        else:
            self._resend(event)

    def leaving(self, link: Link) -> None:
        """The server finishes what it has on this connection and takes no more."""
        stream = self._current.pop(link, None)
        if stream is not None:
            self._drain(stream)

    def lost(self, _: Link, tokens: list[object]) -> None:
        """A connection is gone: nothing in flight on its streams is answered."""
        for stream in tokens:
            assert isinstance(stream, _Stream)
            self._over(stream, GONE, time.monotonic_ns())

    def _send(self, asked: _Asked) -> None:
        link = self._links.next()
        if link is None:
            self._waiting[asked.number] = asked
            self._links.later(lambda found: self._send_later(found, asked.number))
        else:
            self._send_over(link, asked)

    def _send_later(self, link: Link | None, number: int) -> None:
        asked = self._waiting.pop(number, None)
        if asked is None:
            return  # it was given up meanwhile
        if link is None:
            asked.settle(number, time.monotonic_ns(), GONE)
        else:
            self._send_over(link, asked)

    def _send_over(self, link: Link, asked: _Asked) -> None:
        (self._current.get(link) or self._begin(link)).send(asked)

    def _begin(self, link: Link) -> _Stream:
        stream = self._current[link] = _Stream(link)
        self._streams.add(stream)
        link.start(stream, self._block)
        return stream

    def _received(self, stream: _Stream, data: bytes, at_ns: int) -> None:
        try:
            for message in stream.reader.feed(data):
                self._answered(stream, envelope.answer(message), at_ns)
        except (MessageError, DecodeError):
            stream.link.cancel(stream)
            self._over(stream, UNREADABLE_FRAME, at_ns)
        else:
            stream.finish_if_drained()

    def _answered(self, stream: _Stream, said: envelope.Answer, at_ns: int) -> None:
        asked = stream.asked.pop(said.id, None)
        if asked is not None:
            if said.kind == "ranked":
                asked.settle(asked.number, at_ns, said.body)
            elif said.kind == "refused":
                asked.settle(asked.number, at_ns, refused(said.body))
            else:
                asked.settle(asked.number, at_ns, UNREADABLE_FRAME)
        elif said.kind == "notice":
            stream.greeted(None)
            if pb.Notice.FromString(said.body).draining:
                self._drain(stream)
        # else: it was given up meanwhile

    def _drain(self, stream: _Stream) -> None:
        """It takes no more requests."""
        if self._current.get(stream.link) is stream:
            del self._current[stream.link]
        stream.draining = True
        stream.finish_if_drained()

    def _over(self, stream: _Stream, end: Ended, at_ns: int) -> None:
        """A stream is no more: what it still owed ends like this."""
        self._forget(stream)
        stream.greeted(end)
        owed = list(stream.asked.values())
        stream.asked.clear()
        for asked in owed:
            asked.settle(asked.number, at_ns, end)

    def _resend(self, found: Unprocessed) -> None:
        """The server did not look at these streams: as any gRPC client does, send once more, elsewhere."""
        for stream in found.tokens:
            assert isinstance(stream, _Stream)
            owed = list(stream.asked.values())
            stream.asked.clear()
            self._over(stream, GONE, time.monotonic_ns())
            for asked in owed:
                if asked.resent:
                    asked.settle(asked.number, time.monotonic_ns(), GONE)
                else:
                    self._send(asked._replace(resent=True))

    def _forget(self, stream: _Stream) -> None:
        self._streams.discard(stream)
        if self._current.get(stream.link) is stream:
            del self._current[stream.link]

    async def _sweep(self) -> None:
        """Give up what is past its deadline."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now_ns = time.monotonic_ns()
            for number in _overdue(self._waiting, now_ns):
                self._waiting.pop(number).settle(number, now_ns, LATE)
            for stream in list(self._streams):
                for at in _overdue(stream.asked, now_ns):
                    asked = stream.take_back(at)
                    asked.settle(asked.number, now_ns, LATE)
                stream.finish_if_drained()


def _overdue(asked: dict[int, _Asked], now_ns: int) -> list[int]:
    return [at for at, one in asked.items() if one.deadline_ns <= now_ns]
