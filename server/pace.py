"""Refusals for want of room are decided at once, and leave together, a millisecond later.

A refusal is an invitation to ask again, and some clients do so at once. Ten attempts within 3 ms find the
plan as the first one found it and take the core from those who are in it; spread over ten milliseconds they
cost less, and some get in (docs/decisions.md, the pace of refusals).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PAUSE_S = 0.001
"""uvloop's timers round up: what is held leaves after 1 to 2 ms."""

Leave = Callable[[], None]


class Pace:
    """What is to leave together; used on the event loop only."""

    def __init__(self) -> None:
        self._held: list[Leave] = []

    def hold(self, leave: Leave) -> None:
        """Call `leave` with the others of this millisecond."""
        if not self._held:
            asyncio.get_running_loop().call_later(PAUSE_S, self._release)
        self._held.append(leave)

    def _release(self) -> None:
        held, self._held = self._held, []
        for leave in held:
            leave()
