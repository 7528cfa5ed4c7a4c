"""One RankStream, without I/O: which ids are in flight, what is to be said next, when all has been said.

The shell says what `next` gives it, and tells what it heard. Nothing here reads a clock: now is an argument,
in seconds of one monotonic clock. T is whatever stands for a request; it is hashable, and used by identity.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from podium.client.stream.envelope import Notice
from podium.client.stream.target import Address

T = TypeVar("T", bound=Hashable)

IN_FLIGHT_MAX: Final = 1024
"""What a server that greets without a limit is taken to mean: the contract's default."""


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """What streams to one backend may share."""

    address: Address


class Phase(enum.Enum):
    """Where a stream stands. It only ever moves down this list."""

    OPENING = "not greeted yet"
    OPEN = "takes requests"
    LAST_RESORT = "greeted by a server that drains: it still answers, and is asked when nobody else is there"
    FINISHING = "takes no more; what is in flight is waited for"
    OVER = "ended"


class Conversation(Generic[T]):
    """The state of one stream.

    Rule: an id counts as in flight until the server has answered it, also when its caller has left. A server
    that hangs answers no Cancel either; were the place free at once, callers that give up and come again
    would pile up without a bound.
    """

    def __init__(self, connection: Connection, now_s: float) -> None:
        """A stream about to be opened."""
        self.connection = connection
        self.address = connection.address
        self.opened_s = now_s
        self.phase = Phase.OPENING
        self.useful = False
        """It has answered something."""
        self._in_flight_max = IN_FLIGHT_MAX
        self._last_id = 0
        self._unsaid: OrderedDict[T, None] = OrderedDict()
        self._asked: dict[int, T] = {}
        self._id_of: dict[T, int] = {}
        self._left: dict[int, float] = {}
        """id -> when its caller left; the server owes an answer, and nobody waits for it."""
        self._cancels: deque[int] = deque()

    @property
    def room(self) -> int:
        """How many more requests it takes now."""
        if self.phase not in (Phase.OPEN, Phase.LAST_RESORT):
            return 0
        return self._in_flight_max - len(self._unsaid) - len(self._asked) - len(self._left)

    @property
    def half_closes(self) -> bool:
        """Nothing is left to be said: every request has been sent and answered, and no more will come."""
        return self.phase is Phase.OVER or (
            self.phase is Phase.FINISHING and not (self._unsaid or self._asked or self._cancels)
        )

    @property
    def unheard_since_s(self) -> float | None:
        """Since when the server owes an answer to a Cancel; None = it owes none."""
        return next(iter(self._left.values()), None)

    def put(self, token: T) -> None:
        """Take a request; there must be room."""
        assert self.room > 0
        self._unsaid[token] = None

    def next(self) -> tuple[int, T | None] | None:
        """What to say next: a request under its id, or (id, None) to cancel one; None = nothing now."""
        if self._cancels:
            return self._cancels.popleft(), None
        if not self._unsaid:
            return None
        token, _ = self._unsaid.popitem(last=False)
        self._last_id += 1
        self._asked[self._last_id] = token
        self._id_of[token] = self._last_id
        return self._last_id, token

    def withdraw(self, token: T, now_s: float) -> bool:
        """The caller has left; returns whether the server must be told."""
        number = self._id_of.pop(token, None)
        if number is None:
            del self._unsaid[token]
            return False
        del self._asked[number]
        self._left[number] = now_s
        self._cancels.append(number)
        return True

    def notice(self, notice: Notice) -> None:
        """The server has spoken of the stream: its greeting, a new limit, or that it drains."""
        self._in_flight_max = notice.in_flight_max or self._in_flight_max
        if self.phase is Phase.OPENING:
            self.phase = Phase.LAST_RESORT if notice.draining else Phase.OPEN
        elif self.phase is Phase.OPEN and notice.draining:
            self.phase = Phase.FINISHING

    def answered(self, number: int) -> T | None:
        """The server has answered; returns whose answer it is, None when nobody waits for it."""
        self.useful = True
        return self.forget(number)

    def forget(self, number: int) -> T | None:
        """A request is off this stream, answered or never sent; returns who waits for it, if anybody does."""
        if self._left.pop(number, None) is not None:
            if number in self._cancels:
                self._cancels.remove(number)
            return None
        token = self._asked.pop(number, None)
        if token is not None:
            del self._id_of[token]
        return token

    def finish(self) -> None:
        """Take no more; what has been taken is still said and waited for."""
        if self.phase is not Phase.OVER:
            self.phase = Phase.FINISHING

    def take_unsaid(self) -> list[T]:
        """Take back what has not been said and so can go elsewhere, oldest first."""
        unsaid = list(self._unsaid)
        self._unsaid.clear()
        return unsaid

    def end(self) -> tuple[list[T], list[T]]:
        """The stream is no more; returns what had been said and is unanswered, and what had not been said."""
        self.phase = Phase.OVER
        said = list(self._asked.values())
        self._asked.clear()
        self._id_of.clear()
        self._left.clear()
        self._cancels.clear()
        return said, self.take_unsaid()
