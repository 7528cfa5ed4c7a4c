"""The streams of the asyncio client: the same shell as `blocking`, with tasks for threads and no lock."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import grpc

from podium.client.attempts import Attempts
from podium.client.channel import RANK_STREAM
from podium.client.refused import RankRefused
from podium.client.stream import envelope
from podium.client.stream.conversation import Connection, Conversation
from podium.client.stream.effects import Abort, Effect, Open, Resolve, Settle, Wake
from podium.client.stream.fleet import CLOSE_S_MAX, Fleet
from podium.client.stream.target import Address, Name, parse, unique
from podium.v1 import ranking_pb2 as pb
from podium.v1.refusal import RefusalDetails

WRITE_S_MAX = 1.0
"""A write on a stream that is over fails at once; this is for a transport that says nothing."""


class _Call:
    """One request that a task waits for."""

    def __init__(self, attempts: Attempts, loop: asyncio.AbstractEventLoop) -> None:
        self.attempts = attempts
        self.ended: asyncio.Future[pb.RankResponse | RankRefused | None] = loop.create_future()

    def settle(self, outcome: pb.RankResponse | RankRefused | None) -> None:
        """Wake the task; None = the deadline has passed. The first outcome counts."""
        if not self.ended.done():
            self.ended.set_result(outcome)


class _Link:
    """What a conversation is carried by."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.wake = asyncio.Event()
        self.writing = False
        """A message is with the transport, which has not said yet whether it took it."""


class _Shared:
    """A channel, closed by the last of its users."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.users = 0


class AsyncStreams:
    """The streams of one target, on one event loop."""

    def __init__(self, target: str, streams: int, connect: Callable[[Address], grpc.aio.Channel]) -> None:
        """Connect when first used; arguments and errors as those of `blocking.Streams`."""
        self._connect = connect
        self._whom = parse(target)
        looks_up = any(isinstance(each, Name) for each in self._whom)
        self._fleet: Fleet[_Call] = Fleet(target, streams=streams, looks_up=looks_up, draw=random.random)
        self._links: dict[Conversation[_Call], _Link] = {}
        self._channels: dict[Connection, _Shared] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_s = math.inf

    async def ask(self, attempts: Attempts) -> pb.RankResponse:
        """Send the next attempt of a call and wait for its answer.

        Raises:
            RankRefused: it was refused, or the deadline has passed.
            ValueError: the client is closed.
        """
        loop = asyncio.get_running_loop()
        call = _Call(attempts, loop)
        now_s = time.monotonic()
        self._do(self._fleet.submit(call, attempts.avoid, now_s))
        timer = loop.call_later(max(attempts.remaining_s(now_s), 0.0), call.settle, None)
        try:
            outcome = await call.ended
        finally:
            timer.cancel()
            self._do(self._fleet.withdraw(call, time.monotonic()))
        if isinstance(outcome, pb.RankResponse):
            return outcome
        raise outcome or attempts.expired()

    async def close(self) -> None:
        """Half-close every stream, wait a little for the answers under way, then cancel."""
        self._do(self._fleet.close())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S_MAX)
        self._do(self._fleet.abort(time.monotonic()))
        for task in self._tasks:
            task.cancel()  # a look-up
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S_MAX)

    def _do(self, effects: list[Effect[_Call]]) -> None:
        """Do what the fleet wants done."""
        for effect in effects:
            if isinstance(effect, Settle):
                effect.token.settle(effect.outcome)
            elif isinstance(effect, Wake):
                if (link := self._links.get(effect.conversation)) is not None:
                    link.wake.set()
            elif isinstance(effect, Open):
                stream = effect.conversation
                self._links[stream] = _Link(self._start(self._converse(stream)))
            elif isinstance(effect, Abort):
                if (link := self._links.get(effect.conversation)) is not None:
                    link.task.cancel()
            elif isinstance(effect, Resolve):
                self._start(self._resolve())
        if self._fleet.wakes_s != self._wakes_s:
            self._set_timer()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wakes_s = self._fleet.wakes_s
        if self._wakes_s < math.inf:
            wait_s = max(self._wakes_s - time.monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _tick(self) -> None:
        self._wakes_s = math.inf  # that alarm has rung; the next one may be due at once
        self._do(self._fleet.tick(time.monotonic()))

    async def _resolve(self) -> None:
        loop = asyncio.get_running_loop()
        found: list[Address] = []
        why = ""
        for each in self._whom:
            if isinstance(each, Address):
                found.append(each)
                continue
            try:
                found += each.addresses(await loop.getaddrinfo(each.host, each.port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError) as error:
                why = f"{each.host}: {error}"
        now_s = time.monotonic()
        self._do(self._fleet.resolved(unique(found), now_s) if found else self._fleet.unresolved(why, now_s))

    async def _converse(self, stream: Conversation[_Call]) -> None:
        """Connect, and tell what the server says until the stream is over.

        A cancelled task tells nothing: either the fleet has given the stream up, or the loop is ending and
        must not be asked to open another.
        """
        link = self._links[stream]
        end: RankRefused | None = None
        try:
            async with self._channel(stream.connection) as channel:
                call = channel.stream_stream(RANK_STREAM)()
                writer = self._start(self._say(stream, link, call))
                try:
                    while (data := await call.read()) is not grpc.aio.EOF:
                        self._do(self._fleet.heard(stream, envelope.read(data), time.monotonic()))
                    await self._written(link, writer)
                except grpc.RpcError as error:
                    end = RankRefused.of(error)
                    await self._written(link, writer)
                except ValueError as error:
                    end = RankRefused(grpc.StatusCode.INTERNAL, str(error), RefusalDetails())
                finally:
                    writer.cancel()
                    call.cancel()
                self._do(self._fleet.ended(stream, end, time.monotonic()))
        finally:
            del self._links[stream]

    async def _written(self, link: _Link, writer: asyncio.Task[None]) -> None:
        """The stream is over; hear of a message that is just being written before it counts as sent."""
        if link.writing:
            await asyncio.wait({writer}, timeout=WRITE_S_MAX)

    @asynccontextmanager
    async def _channel(self, connection: Connection) -> AsyncIterator[grpc.aio.Channel]:
        """The connection's channel, which its streams share."""
        if connection not in self._channels:
            self._channels[connection] = _Shared(self._connect(connection.address))
        shared = self._channels[connection]
        shared.users += 1
        try:
            yield shared.channel
        finally:
            shared.users -= 1
            if shared.users == 0:
                del self._channels[connection]
                await shared.channel.close()

    async def _say(self, stream: Conversation[_Call], link: _Link, call: Any) -> None:
        """What goes out, as fast as flow control lets it."""
        found: tuple[int, _Call | None] | None = None
        try:
            while True:
                found = stream.next()
                if found is not None:
                    if (message := self._message(stream, *found)) is not None:
                        link.writing = True
                        await call.write(message)
                        link.writing = False
                elif stream.half_closes:
                    await call.done_writing()
                    return
                else:
                    link.wake.clear()
                    await link.wake.wait()
        except (grpc.RpcError, asyncio.InvalidStateError):
            # The stream is over; the reader tells how. grpcio fails a write that it has not handed to the
            # transport whole, and then says INTERNAL for whatever the server said: so this one is not lost.
            if link.writing and found is not None and found[1] is not None:
                self._do(self._fleet.unwritten(stream, found[0]))

    def _message(self, stream: Conversation[_Call], number: int, call: _Call | None) -> bytes | None:
        """The bytes of what is to be said; None when it is too late to say it."""
        if call is None:
            return envelope.cancel(number)
        try:
            request, _ = call.attempts.send(time.monotonic())
        except RankRefused as refused:
            self._do(self._fleet.unsent(stream, number, refused))
            return None
        return envelope.rank(number, request)
