"""The streams to all backends of a target, and the line of those who wait for one. Without I/O.

Whatever happens is told by a method; each returns what is to be done about it. Times are seconds of one
monotonic clock.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic

import grpc

from podium.client.refused import RankRefused
from podium.client.stream.conversation import Conversation, Phase, T
from podium.client.stream.effects import Abort, Effect, Open, Resolve, Settle, Wake
from podium.client.stream.envelope import Answer, Notice
from podium.client.stream.target import Address
from podium.v1 import ranking_pb2 as pb
from podium.v1.refusal import RefusalDetails

OPEN_S_MAX: Final = 5.0
"""A backend that has not greeted by then is taken to be gone."""
DEAF_S: Final = 5.0
"""A server owes every Cancel an answer; one that owes it for so long hears nothing any more."""
REOPEN_S_MIN: Final = 0.1
"""Between the openings of two streams to one backend; doubles with each that was of no use."""
REOPEN_S_MAX: Final = 5.0
REOPEN_JITTER: Final = 0.2
"""A wait w is drawn evenly from [w · (1 - jitter), w · (1 + jitter)]: clients of one server spread."""
CLOSE_S_MAX: Final = 1.0
"""How long a client that is closed waits for answers under way, and again for what it has started."""
RESOLVE_S_MIN: Final = 1.0
"""Between two look-ups, however much fails."""
RESOLVE_S_MAX: Final = 30.0
"""Between two look-ups, when nothing fails: a replica that is added gets its stream."""


@dataclass(slots=True, eq=False)
class _Backend(Generic[T]):
    """One address. `current` is its stream that takes requests, or will when the server has greeted."""

    address: Address
    retry_s: float
    current: Conversation[T] | None = None
    useless: int = 0
    """Streams in a row that never answered anything."""


class Fleet(Generic[T]):
    """One stream per backend, in round robin.

    Not least-in-flight: a backend that refuses everything at once looks idle, and would draw everybody.
    """

    def __init__(self, target: str, *, looks_up: bool, draw: Callable[[], float]) -> None:
        """Idle until the first request.

        Args:
            target: for messages.
            looks_up: whether the target has names that may resolve differently later.
            draw: the dice, evenly from [0, 1).
        """
        self._target = target
        self._looks_up = looks_up
        self._draw = draw
        self._backends: list[_Backend[T]] = []
        self._turn = 0
        self._alive: set[Conversation[T]] = set()
        self._line: OrderedDict[T, str] = OrderedDict()
        """Who waits for a stream, and the backend that it comes from, "" if from none."""
        self._place: dict[T, Conversation[T]] = {}
        self._why = RankRefused(grpc.StatusCode.UNAVAILABLE, "nothing was tried yet", RefusalDetails())
        self._resolving = False
        self._resolved_s = -math.inf
        self._resolve_s = math.inf
        self._started = False
        self.closing = False
        self._todo: list[Effect[T]] = []
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
            self._resolve_s = now_s
            self._keep_up(now_s)
        self._serve()
        return self._take()

    def withdraw(self, token: T, now_s: float) -> list[Effect[T]]:
        """A caller has left; nothing happens if its request has ended."""
        if token in self._line:
            del self._line[token]
        elif (stream := self._place.pop(token, None)) is not None:
            if stream.withdraw(token, now_s):
                self.wakes_s = min(self.wakes_s, now_s + DEAF_S)
            self._todo.append(Wake(stream))
            self._serve()
        return self._take()

    def unsent(self, stream: Conversation[T], number: int, refused: RankRefused) -> list[Effect[T]]:
        """A request that `stream.next` gave could not be sent."""
        token = stream.forget(number)
        if token is not None:
            self._settle(token, refused)
        self._todo.append(Wake(stream))
        self._serve()
        return self._take()

    def heard(self, stream: Conversation[T], said: Notice | Answer, now_s: float) -> list[Effect[T]]:
        """The server has said something."""
        if stream.phase is Phase.OVER:
            return []
        if isinstance(said, Answer):
            self._answered(stream, said)
        else:
            before = stream.phase
            stream.notice(said)
            if before is Phase.OPEN and stream.phase is Phase.FINISHING:
                self._leave(stream, now_s)
            elif before is Phase.FINISHING and said.draining:  # closing, and now the server does not listen
                self._put_back(stream.take_unsaid())
                self._todo.append(Wake(stream))
        self._serve()
        return self._take()

    def ended(self, stream: Conversation[T], end: RankRefused | None, now_s: float) -> list[Effect[T]]:
        """A stream is over: in good order, or with a status."""
        if stream.phase is not Phase.OVER:
            self._end(stream, end, now_s)
            self._keep_up(now_s)
            self._serve()
        return self._take()

    def resolved(self, addresses: Iterable[Address], now_s: float) -> list[Effect[T]]:
        """The target names these backends now, at least one. Those no longer named finish what they have."""
        known = {backend.address: backend for backend in self._backends}
        self._backends = [known.get(each) or _Backend(each, now_s) for each in addresses]
        for backend in known.values():
            if backend.current is not None and backend not in self._backends:
                self._retire(backend.current)
        self._resolving = False
        self._resolved_s = now_s
        self._resolve_s = now_s + RESOLVE_S_MAX if self._looks_up else math.inf
        self._keep_up(now_s)
        self._serve()
        return self._take()

    def unresolved(self, why: str, now_s: float) -> list[Effect[T]]:
        """The look-up failed. Known backends stay: the names' server may be down, they need not be."""
        self._resolving = False
        self._resolved_s = now_s
        self._resolve_s = now_s + RESOLVE_S_MIN
        if not self._backends:
            self._why = RankRefused(grpc.StatusCode.UNAVAILABLE, why, RefusalDetails())
        self._keep_up(now_s)
        self._serve()
        return self._take()

    def tick(self, now_s: float) -> list[Effect[T]]:
        """Time has passed."""
        for stream in list(self._alive):
            unheard_s = stream.unheard_since_s
            if stream.phase is Phase.OPENING and now_s >= stream.opened_s + OPEN_S_MAX:
                self._give_up(stream, f"no greeting within {OPEN_S_MAX:g} s", now_s)
            elif unheard_s is not None and now_s >= unheard_s + DEAF_S:
                self._give_up(stream, f"no answer to a Cancel within {DEAF_S:g} s", now_s)
        self._keep_up(now_s)
        self._serve()
        return self._take()

    def close(self) -> list[Effect[T]]:
        """Take no more requests: what is on a stream may be answered, what waits for one is cancelled."""
        self.closing = True
        self.wakes_s = math.inf
        for token in self._line:
            self._todo.append(Settle(token, _closed()))
        self._line.clear()
        for stream in list(self._alive):
            self._retire(stream)
        return self._take()

    def abort(self, now_s: float) -> list[Effect[T]]:
        """End what `close` left over."""
        assert self.closing
        for stream in list(self._alive):
            self._give_up(stream, "the client was closed", now_s)
        return self._take()

    def _answered(self, stream: Conversation[T], answer: Answer) -> None:
        token = stream.answered(answer.id)
        if isinstance(answer.outcome, RankRefused):
            answer.outcome.backend = str(stream.address)
        if token is not None:
            self._settle(token, answer.outcome)
        if stream.half_closes:
            self._todo.append(Wake(stream))

    def _settle(self, token: T, outcome: pb.RankResponse | RankRefused) -> None:
        del self._place[token]
        self._todo.append(Settle(token, outcome))

    def _leave(self, stream: Conversation[T], now_s: float) -> None:
        """The server drains: another stream takes over, to the same backend if it is still there."""
        self._detach(stream, stream.opened_s, now_s)
        self._put_back(stream.take_unsaid())
        self._todo.append(Wake(stream))
        self._keep_up(now_s)

    def _retire(self, stream: Conversation[T]) -> None:
        """We have no more for this backend."""
        if stream.phase is Phase.OPENING:
            stream.end()
            self._alive.discard(stream)
            self._todo.append(Abort(stream))
            return
        stream.finish()
        if not self.closing:
            self._put_back(stream.take_unsaid())
        self._todo.append(Wake(stream))

    def _give_up(self, stream: Conversation[T], why: str, now_s: float) -> None:
        self._todo.append(Abort(stream))
        self._end(stream, RankRefused(grpc.StatusCode.UNAVAILABLE, why, RefusalDetails()), now_s)

    def _end(self, stream: Conversation[T], end: RankRefused | None, now_s: float) -> None:
        if stream.phase is not Phase.FINISHING:
            self._why = end or RankRefused(
                grpc.StatusCode.UNAVAILABLE, "the server ended the stream", RefusalDetails()
            )
        since_s = now_s if stream.phase is Phase.OPENING else stream.opened_s
        said, unsaid = stream.end()
        self._alive.discard(stream)
        self._detach(stream, since_s, now_s)
        for token in said:
            self._settle(token, _closed() if self.closing else _lost(stream.address, end))
        self._put_back(unsaid)
        self._todo.append(Wake(stream))

    def _detach(self, stream: Conversation[T], since_s: float, now_s: float) -> None:
        """The stream takes no more: its backend is to get another, no sooner than a while after `since_s`."""
        for backend in self._backends:
            if backend.current is stream:
                backend.current = None
                backend.useless = 0 if stream.useful else backend.useless + 1
                wait_s = min(REOPEN_S_MIN * 2.0 ** min(backend.useless, 30), REOPEN_S_MAX)
                spread = 1 + REOPEN_JITTER * (2 * self._draw() - 1)
                backend.retry_s = since_s + wait_s * spread
        if self._looks_up:  # it may have moved
            self._resolve_s = min(self._resolve_s, max(now_s, self._resolved_s + RESOLVE_S_MIN))

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
        if now_s >= self._resolve_s and not self._resolving:
            self._resolving = True
            self._todo.append(Resolve())
        for backend in self._backends:
            if backend.current is None and now_s >= backend.retry_s:
                stream: Conversation[T] = Conversation(backend.address, now_s)
                backend.current = stream
                self._alive.add(stream)
                self._todo.append(Open(stream))
        self.wakes_s = min(self._due())

    def _due(self) -> Iterable[float]:
        yield math.inf if self._resolving else self._resolve_s
        for backend in self._backends:
            if backend.current is None:
                yield backend.retry_s
        for stream in self._alive:
            if stream.phase is Phase.OPENING:
                yield stream.opened_s + OPEN_S_MAX
            if stream.unheard_since_s is not None:
                yield stream.unheard_since_s + DEAF_S

    def _serve(self) -> None:
        """Give streams to those in the line; with none there and none to come, refuse them."""
        while self._line:
            token, avoid = next(iter(self._line.items()))
            stream = self._pick(avoid)
            if stream is None:
                break
            del self._line[token]
            stream.put(token)
            self._place[token] = stream
            self._todo.append(Wake(stream))
        if self._line and self._hopeless:
            for token in self._line:
                self._todo.append(Settle(token, self._nobody()))
            self._line.clear()

    @property
    def _hopeless(self) -> bool:
        """No stream takes requests, and none is being opened."""
        if not self._backends and self._resolved_s == -math.inf:
            return False
        return all(backend.current is None for backend in self._backends)

    def _pick(self, avoid: str) -> Conversation[T] | None:
        """The next in turn that has room; one to avoid, or a last resort, only if there is no other."""
        count = len(self._backends)
        best: tuple[tuple[bool, bool], int, Conversation[T]] | None = None
        for step in range(count):
            at = (self._turn + step) % count
            stream = self._backends[at].current
            if stream is None or stream.room <= 0:
                continue
            cost = (str(stream.address) == avoid if avoid else False, stream.phase is Phase.LAST_RESORT)
            if best is None or cost < best[0]:
                best = cost, at, stream
            if not any(cost):
                break
        if best is None:
            return None
        self._turn = best[1] + 1
        return best[2]

    def _nobody(self) -> RankRefused:
        sentence = f"No backend of {self._target} can be reached: {self._why.message}"
        return RankRefused(self._why.code, sentence, RefusalDetails())

    def _take(self) -> list[Effect[T]]:
        todo, self._todo = self._todo, []
        return todo


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
        sentence = f"{address}: {how} while the request was in flight; it may have been scored."
        refused = RankRefused(grpc.StatusCode.UNAVAILABLE, sentence, RefusalDetails())
    refused.backend = str(address)
    return refused
