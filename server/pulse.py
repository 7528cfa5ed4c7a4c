"""When did what is read now arrive? At the latest now; after a standstill, perhaps long ago.

A process that was stopped for two seconds finds in its sockets what has come meanwhile. Stamped when it is
read, all of it would be fresh, and some of it be served to callers who have long left.
"""

from __future__ import annotations

BEAT_NS = 50_000_000
"""The event loop beats so often."""
STANDSTILL_NS = 100_000_000
"""A beat that is late by so much was no busy loop: what is read before it comes may have waited as long."""


class Pulse:
    """The last sign of life; used on the event loop only."""

    def __init__(self, now_ns: int) -> None:
        self._beat_ns = now_ns

    def beat(self, now_ns: int) -> None:
        """The loop goes round."""
        self._beat_ns = now_ns

    def arrival_ns(self, now_ns: int) -> int:
        """The instant from which the time of a request that is read now counts."""
        due_ns = self._beat_ns + BEAT_NS
        return due_ns if now_ns - due_ns > STANDSTILL_NS else now_ns
