"""The streams of the blocking client: a reading thread each, under one lock. A thin shell around `fleet`."""

from __future__ import annotations

import math
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
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


class _Call:
    """One request that a thread waits for."""

    def __init__(self, attempts: Attempts) -> None:
        self.attempts = attempts
        self.outcome: pb.RankResponse | RankRefused | None = None
        self._ended = threading.Lock()  # a tenth of what an Event costs, and one wait is all it is for
        self._ended.acquire()

    def settle(self, outcome: pb.RankResponse | RankRefused) -> None:
        """Wake the thread; called once."""
        self.outcome = outcome
        self._ended.release()

    def wait(self, wait_s: float) -> bool:
        """Whether it has been settled by then."""
        return self._ended.acquire(timeout=min(max(wait_s, 0.0), threading.TIMEOUT_MAX))


class _Link:
    """What a conversation is carried by."""

    def __init__(self) -> None:
        self.wakes: SimpleQueue[None] = SimpleQueue()
        self._call: Any = None
        self._aborted = False

    def begin(self, call: Any) -> None:
        """The rpc."""
        self._call = call
        if self._aborted:
            call.cancel()

    def abort(self) -> None:
        """Cancel the rpc, or see that it is cancelled when it begins: whichever comes second does it."""
        self._aborted = True
        if self._call is not None:
            self._call.cancel()


class _Shared:
    """A channel, closed by the last of its users."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.users = 0


class Streams:
    """The streams of one target. Safe to share between threads."""

    def __init__(self, target: str, streams: int, connect: Callable[[Address], grpc.Channel]) -> None:
        """Connect when first used.

        Args:
            streams: how many per backend, on one connection.

        Raises:
            ValueError: the target does not name its backends, or streams is not at least 1.
        """
        self._connect = connect
        self._whom = parse(target)
        looks_up = any(isinstance(each, Name) for each in self._whom)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        """Notified when `tick` is due earlier, when a link is gone, and at the end."""
        self._fleet: Fleet[_Call] = Fleet(target, streams=streams, looks_up=looks_up, draw=random.random)
        self._links: dict[Conversation[_Call], _Link] = {}
        self._channels: dict[Connection, _Shared] = {}
        self._sleeps_till_s = math.inf
        self._threads: set[threading.Thread] = set()
        self._kept_up = False

    def ask(self, attempts: Attempts) -> pb.RankResponse:
        """Send the next attempt of a call and wait for its answer.

        Raises:
            RankRefused: it was refused, or the deadline has passed.
            ValueError: the client is closed.
        """
        call = _Call(attempts)
        self._tell(partial(self._fleet.submit, call, attempts.avoid))
        try:
            call.wait(attempts.remaining_s(time.monotonic()))
        finally:
            if call.outcome is None:
                self._tell(partial(self._fleet.withdraw, call))
        if isinstance(call.outcome, pb.RankResponse):
            return call.outcome
        raise call.outcome or attempts.expired()

    def close(self) -> None:
        """Half-close every stream, wait a little for the answers under way, then cancel."""
        self._tell(lambda _: self._fleet.close())
        with self._lock:
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._fleet.over, CLOSE_S_MAX)
        self._tell(self._fleet.abort)
        ends_s = time.monotonic() + CLOSE_S_MAX
        for thread in list(self._threads):
            thread.join(max(ends_s - time.monotonic(), 0.0))

    def _tell(self, happening: Callable[[float], list[Effect[_Call]]]) -> None:
        """Tell the fleet, and do what it wants done."""
        with self._lock:
            effects = happening(time.monotonic())
            for effect in effects:
                if isinstance(effect, Open):
                    self._links[effect.conversation] = _Link()
            if self._fleet.wakes_s < self._sleeps_till_s:
                self._changed.notify_all()
        for effect in effects:
            self._do(effect)

    def _do(self, effect: Effect[_Call]) -> None:
        if isinstance(effect, Settle):
            effect.token.settle(effect.outcome)
        elif isinstance(effect, Wake):
            if (link := self._links.get(effect.conversation)) is not None:
                link.wakes.put(None)
        elif isinstance(effect, Open):
            self._start(f"podium stream {effect.conversation.address}", self._converse, effect.conversation)
        elif isinstance(effect, Abort):
            if (link := self._links.get(effect.conversation)) is not None:
                link.abort()
        elif isinstance(effect, Resolve):
            if not self._kept_up:
                self._kept_up = True
                self._start("podium upkeep", self._keep_up)
            self._start("podium names", self._resolve)

    def _start(self, name: str, work: Callable[..., None], *arguments: Any) -> None:
        """Run in a daemon: a client that nobody closed must not hold the process back."""

        def run() -> None:
            work(*arguments)
            with self._lock:
                self._threads.discard(thread)
                self._changed.notify_all()

        thread = threading.Thread(target=run, name=name, daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _keep_up(self) -> None:
        """Tick when it is due."""
        while True:
            with self._lock:
                while (wait_s := self._fleet.wakes_s - time.monotonic()) > 0 and not self._fleet.closing:
                    self._sleeps_till_s = self._fleet.wakes_s
                    self._changed.wait(min(wait_s, threading.TIMEOUT_MAX))
                if self._fleet.closing:
                    return
            self._tell(self._fleet.tick)

    def _resolve(self) -> None:
        found: list[Address] = []
        why = ""
        for each in self._whom:
            if isinstance(each, Address):
                found.append(each)
                continue
            try:
                found += each.addresses(socket.getaddrinfo(each.host, each.port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError) as error:
                why = f"{each.host}: {error}"
        if found:
            self._tell(partial(self._fleet.resolved, unique(found)))
        else:
            self._tell(partial(self._fleet.unresolved, why))

    def _converse(self, stream: Conversation[_Call]) -> None:
        """Connect, and tell what the server says until the stream is over."""
        link = self._links[stream]
        end: RankRefused | None = None
        with self._channel(stream.connection) as channel:
            call = channel.stream_stream(RANK_STREAM)(self._say(stream, link))
            link.begin(call)
            try:
                for data in call:
                    self._tell(partial(self._fleet.heard, stream, envelope.read(data)))
            except grpc.RpcError as error:
                end = RankRefused.of(error)
            except ValueError as error:
                call.cancel()
                end = RankRefused(grpc.StatusCode.INTERNAL, str(error), RefusalDetails())
            self._tell(partial(self._fleet.ended, stream, end))
        with self._lock:
            del self._links[stream]

    @contextmanager
    def _channel(self, connection: Connection) -> Iterator[grpc.Channel]:
        """The connection's channel, which its streams share."""
        with self._lock:
            if connection not in self._channels:
                self._channels[connection] = _Shared(self._connect(connection.address))
            shared = self._channels[connection]
            shared.users += 1
        try:
            yield shared.channel
        finally:
            with self._lock:
                shared.users -= 1
                if last := shared.users == 0:
                    del self._channels[connection]
            if last:
                shared.channel.close()

    def _say(self, stream: Conversation[_Call], link: _Link) -> Iterator[bytes]:
        """What goes out; gRPC draws it in a thread of its own, as fast as flow control lets it."""
        while True:
            with self._lock:
                found = stream.next()
                done = found is None and stream.half_closes
            if done:
                return
            if found is None:
                link.wakes.get()
            elif (message := self._message(stream, *found)) is not None:
                yield message

    def _message(self, stream: Conversation[_Call], number: int, call: _Call | None) -> bytes | None:
        """The bytes of what is to be said; None when it is too late to say it."""
        if call is None:
            return envelope.cancel(number)
        try:
            request, _ = call.attempts.send(time.monotonic())
        except RankRefused as refused:
            end = refused  # the except clause unbinds its own name, and the lambda outlives it
            self._tell(lambda _: self._fleet.unsent(stream, number, end))
            return None
        return envelope.rank(number, request)
