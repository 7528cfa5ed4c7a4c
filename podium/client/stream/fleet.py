"""The streams to all backends of a target, and the line of those who wait for one. Without I/O.

Whatever happens is told by a method; each returns what is to be done about it. Times are seconds of one
monotonic clock.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic

import grpc

from podium.client.refused import RankRefused
from podium.client.stream.backend import Backend
from podium.client.stream.conversation import Conversation, Phase, T
from podium.client.stream.effects import Abort, Effect, Open, Resolve, Settle, Wake
from podium.client.stream.envelope import Answer, Notice
from podium.client.stream.roster import Roster
from podium.client.stream.target import Address
from podium.v1 import ranking_pb2 as pb
from podium.v1.refusal import RefusalDetails

OPEN_S_MAX: Final = 5.0
"""A backend that has not greeted by then is taken to be gone."""
DEAF_S: Final = 5.0
"""A server owes every Cancel an answer; one that owes it for so long hears nothing any more."""
CLOSE_S_MAX: Final = 1.0
"""How long a client that is closed waits for answers under way, and again for what it has started."""


class Fleet(Generic[T]):
    """The streams of one target; a request is put on one of them, or waits until one takes it."""

    def __init__(self, target: str, *, streams: int, looks_up: bool, draw: Callable[[], float]) -> None:
        """Idle until the first request.

        Args:
            target: for messages.
            streams: how many per backend, on one connection.
            looks_up: whether the target has names that may mean others later.
            draw: the dice, evenly from [0, 1).

        Raises:
            ValueError: streams is not at least 1.
        """
        if streams < 1:
            raise ValueError(f"streams_per_backend must be >= 1, got {streams}")
        self._target = target
        self._streams = streams
        self._draw = draw
        self._roster: Roster[T] = Roster(looks_up=looks_up)
        self._alive: set[Conversation[T]] = set()
        self._line: OrderedDict[T, str] = OrderedDict()
        """Who waits for a stream, and the backend that it comes from, "" if from none."""
        self._place: dict[T, Conversation[T]] = {}
        self._why = _unavailable("nothing was tried yet")
        self._started = False
        self._todo: list[Effect[T]] = []
        self.closing = False
        self.wakes_s = math.inf
        """When `tick` is due."""

    @property
    def over(self) -> bool:
        """No stream is left, and none will be opened."""
        return self.closing and not self._alive

    def submit(self, token: T, avoid: str, now_s: float) -> list[Effect[T]]:
        """A request wants to be sent.

        Args:
            avoid: a backend that has just refused it: any other comes first; "" = none.

        Raises:
            ValueError: the client is closed.
        """
        if self.closing:
            raise ValueError("the client is closed")
        self._line[token] = avoid
        if not self._started:
            self._started = True
            self._roster.look(now_s)
            self._keep_up(now_s)
        return self._served()

    def withdraw(self, token: T, now_s: float) -> list[Effect[T]]:
        """A caller has left; nothing happens if its request has ended."""
        if token in self._line:
            del self._line[token]
        elif (stream := self._place.pop(token, None)) is not None:
            if stream.withdraw(token, now_s):
                self.wakes_s = min(self.wakes_s, now_s + DEAF_S)
            self._todo.append(Wake(stream))
        return self._served()

    def unsent(self, stream: Conversation[T], number: int, refused: RankRefused) -> list[Effect[T]]:
        """A request that `stream.next` gave could not be sent."""
        token = stream.forget(number)
        if token is not None:
            self._settle(token, refused)
        self._todo.append(Wake(stream))
        return self._served()

    def unwritten(self, stream: Conversation[T], number: int) -> list[Effect[T]]:
        """A request that `stream.next` gave was refused by the transport: the server never had it whole."""
        token = stream.forget(number)
        if token is not None:
            self._put_back([token])
        return self._served()

    def heard(self, stream: Conversation[T], said: Notice | Answer, now_s: float) -> list[Effect[T]]:
        """The server has said something."""
        if stream.phase is Phase.OVER:
            return []
        if isinstance(said, Answer):
            self._answered(stream, said)
        else:
            self._noticed(stream, said, now_s)
        return self._served()

    def ended(self, stream: Conversation[T], end: RankRefused | None, now_s: float) -> list[Effect[T]]:
        """A stream is over: in good order, or with a status."""
        if stream.phase is not Phase.OVER:
            self._end(stream, end, now_s)
            self._keep_up(now_s)
        return self._served()

    def resolved(self, addresses: Iterable[Address], now_s: float) -> list[Effect[T]]:
        """The target means these backends now, at least one. Others finish what they have."""
        for stream in self._roster.found(addresses, now_s):
            self._finish(stream)
        self._keep_up(now_s)
        return self._served()

    def unresolved(self, why: str, now_s: float) -> list[Effect[T]]:
        """The look-up failed."""
        self._roster.missed(now_s)
        if not self._roster.backends:
            self._why = _unavailable(why)
        self._keep_up(now_s)
        return self._served()

    def tick(self, now_s: float) -> list[Effect[T]]:
        """Time has passed."""
        for stream in list(self._alive):
            unheard_s = stream.unheard_since_s
            if stream.phase is Phase.OPENING and now_s >= stream.opened_s + OPEN_S_MAX:
                self._give_up(stream, f"no greeting within {OPEN_S_MAX:g} s", now_s)
            elif unheard_s is not None and now_s >= unheard_s + DEAF_S:
                self._give_up(stream, f"no answer to a Cancel within {DEAF_S:g} s", now_s)
        self._keep_up(now_s)
        return self._served()

    def close(self) -> list[Effect[T]]:
        """Take no more requests: what is on a stream may be answered, what waits for one is cancelled."""
        self.closing = True
        self.wakes_s = math.inf
        for token in self._line:
            self._todo.append(Settle(token, _closed()))
        self._line.clear()
        for stream in list(self._alive):
            self._finish(stream)
        return self._served()

    def abort(self, now_s: float) -> list[Effect[T]]:
        """End what `close` left over."""
        assert self.closing
        for stream in list(self._alive):
            self._give_up(stream, "the client was closed", now_s)
        return self._served()

    def _answered(self, stream: Conversation[T], answer: Answer) -> None:
        token = stream.answered(answer.id)
        if isinstance(answer.outcome, RankRefused):
            answer.outcome.backend = str(stream.address)
        if token is not None:
            self._settle(token, answer.outcome)
        if stream.half_closes:
            self._todo.append(Wake(stream))

    def _noticed(self, stream: Conversation[T], notice: Notice, now_s: float) -> None:
        before = stream.phase
        stream.notice(notice)
        if before is Phase.FINISHING and notice.draining:  # we close, and now the server does not listen
            self._put_back(stream.take_unsaid())
            self._todo.append(Wake(stream))
        backend = self._roster.of(stream)
        if backend is None:
            return
        alone = len(backend.streams) == 1
        if stream.phase is Phase.FINISHING or (stream.phase is Phase.LAST_RESORT and not alone):
            self._leave(backend, stream.opened_s, now_s)
        elif before is Phase.OPENING and stream.phase is Phase.OPEN and alone:
            for other in backend.widen(self._streams, now_s):
                self._open(other)
        self._keep_up(now_s)

    def _open(self, stream: Conversation[T]) -> None:
        self._alive.add(stream)
        self._todo.append(Open(stream))

    def _leave(self, backend: Backend[T], since_s: float, now_s: float, *, unreachable: bool = False) -> None:
        """Its streams take no more: they finish what they have said, and another connection takes over."""
        for stream in backend.leave(since_s, self._draw(), unreachable=unreachable):
            self._finish(stream)
        self._roster.look(now_s)

    def _finish(self, stream: Conversation[T]) -> None:
        """Take no more requests for it; what is unsaid waits in line again, unless we close."""
        if stream.phase is Phase.OPENING:
            stream.end()
            self._alive.discard(stream)
            self._todo.append(Abort(stream))
        elif stream.phase is not Phase.OVER:
            stream.finish()
            if not self.closing:
                self._put_back(stream.take_unsaid())
            self._todo.append(Wake(stream))

    def _give_up(self, stream: Conversation[T], why: str, now_s: float) -> None:
        self._todo.append(Abort(stream))
        self._end(stream, _unavailable(why), now_s)

    def _end(self, stream: Conversation[T], end: RankRefused | None, now_s: float) -> None:
        backend = self._roster.of(stream)
        if backend is not None and backend.can_do_without(stream):
            backend.streams.remove(stream)
            backend = None
        opening = stream.phase is Phase.OPENING
        said, unsaid = stream.end()
        self._alive.discard(stream)
        if backend is not None:
            if opening:
                self._why = end or _unavailable("the server ended the stream without a greeting")
            self._leave(backend, now_s if opening else stream.opened_s, now_s, unreachable=opening)
        for token in said:
            self._settle(token, _closed() if self.closing else _lost(stream.address, end))
        self._put_back(unsaid)
        self._todo.append(Wake(stream))

    def _settle(self, token: T, outcome: pb.RankResponse | RankRefused) -> None:
        del self._place[token]
        self._todo.append(Settle(token, outcome))

    def _put_back(self, unsaid: list[T]) -> None:
        """To the front of the line, in their order; there is no line once the client is closed."""
        if self.closing:
            for token in unsaid:
                self._settle(token, _closed())
            return
        for token in reversed(unsaid):
            del self._place[token]
            self._line[token] = ""
            self._line.move_to_end(token, last=False)

    def _keep_up(self, now_s: float) -> None:
        """Open and look up what is due, and note when to look again."""
        if self.closing or not self._started:
            return
        if self._roster.looks(now_s):
            self._todo.append(Resolve())
        for backend in self._roster.backends:
            if not backend.streams and now_s >= backend.retry_s:
                self._open(backend.connect(now_s))
        self.wakes_s = min((*self._roster.due(), *self._limits()))

    def _limits(self) -> Iterator[float]:
        """When a server's silence is taken for its absence."""
        for stream in self._alive:
            if stream.phase is Phase.OPENING:
                yield stream.opened_s + OPEN_S_MAX
            if stream.unheard_since_s is not None:
                yield stream.unheard_since_s + DEAF_S

    def _served(self) -> list[Effect[T]]:
        """Give streams to those in line, or refuse them if there are none; then all that is to be done."""
        while self._line:
            token, avoid = next(iter(self._line.items()))
            stream = self._roster.pick(avoid)
            if stream is None:
                break
            del self._line[token]
            stream.put(token)
            self._place[token] = stream
            self._todo.append(Wake(stream))
        if self._line and self._roster.hopeless:
            sentence = f"No backend of {self._target} can be reached: {self._why.message}"
            for token in self._line:
                self._todo.append(Settle(token, RankRefused(self._why.code, sentence, RefusalDetails())))
            self._line.clear()
        todo, self._todo = self._todo, []
        return todo


def _unavailable(sentence: str) -> RankRefused:
    return RankRefused(grpc.StatusCode.UNAVAILABLE, sentence, RefusalDetails())


def _closed() -> RankRefused:
    return RankRefused(grpc.StatusCode.CANCELLED, "The client was closed.", RefusalDetails())


def _lost(address: Address, end: RankRefused | None) -> RankRefused:
    """What a request gets that was sent and not answered when its stream ended.

    A server that says itself that it was unready has not let it in: that can be sent again. Anything else
    may have come after the request was scored.
    """
    if end is not None and end.reason and end.kind == "unready":
        refused = end.copy()
    else:
        how = f"the stream broke ({end.message or end.code.name})" if end else "the server ended the stream"
        refused = _unavailable(f"{address}: {how} while the request was in flight; it may have been scored.")
    refused.backend = str(address)
    return refused
