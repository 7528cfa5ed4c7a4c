"""One backend: the streams to it that take requests, and when to open others. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Generic

from podium.client.stream.conversation import Connection, Conversation, Phase, T
from podium.client.stream.target import Address

REOPEN_S_MIN: Final = 0.1
"""Between the openings of two connections to one backend; doubles with each that was of no use."""
REOPEN_S_MAX: Final = 5.0
REOPEN_JITTER: Final = 0.2
"""A wait w is drawn evenly from [w · (1 - jitter), w · (1 + jitter)]: clients of one server spread."""


@dataclass(slots=True, eq=False)
class Backend(Generic[T]):
    """One address.

    The first stream of a connection is opened alone; when the server has greeted on it the others follow.
    They share the connection and leave it together: that a server drains, or that one of them broke, holds
    for all.

    Attributes:
        retry_s: when a connection may be opened, if there is none.
        streams: those that take requests, or will when the server has greeted.
        useless: connections in a row on which nothing was ever answered.
        unreachable: the last one was never greeted on. Where it was, whatever ended it, the next may be soon.
    """

    address: Address
    retry_s: float
    streams: list[Conversation[T]] = field(default_factory=list)
    useless: int = 0
    unreachable: bool = False

    def connect(self, now_s: float) -> Conversation[T]:
        """The first stream on a new connection."""
        first: Conversation[T] = Conversation(Connection(self.address), now_s)
        self.streams = [first]
        return first

    def widen(self, count: int, now_s: float) -> list[Conversation[T]]:
        """The others, once the first is open, for `count` streams in all."""
        (first,) = self.streams
        others: list[Conversation[T]] = [Conversation(first.connection, now_s) for _ in range(1, count)]
        self.streams += others
        return others

    def roomiest(self) -> Conversation[T] | None:
        """The stream that takes the most requests; None if none takes any."""
        best = max(self.streams, key=lambda stream: stream.room, default=None)
        return best if best is not None and best.room > 0 else None

    def can_do_without(self, stream: Conversation[T]) -> bool:
        """Whether it is one beside others that never opened: a server may limit streams per connection."""
        return stream.phase is Phase.OPENING and len(self.streams) > 1

    def leave(self, since_s: float, draw: float, *, unreachable: bool = False) -> list[Conversation[T]]:
        """Take the streams off; a connection may be opened again a while after `since_s`.

        Args:
            unreachable: the connection could not be made.
            draw: the dice, evenly from [0, 1).
        """
        left, self.streams = self.streams, []
        self.unreachable = unreachable
        self.useless = 0 if any(stream.useful for stream in left) else self.useless + 1
        wait_s = min(REOPEN_S_MIN * 2.0 ** min(self.useless, 30), REOPEN_S_MAX)
        self.retry_s = since_s + wait_s * (1 + REOPEN_JITTER * (2 * draw - 1))
        return left
