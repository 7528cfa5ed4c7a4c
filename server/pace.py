"""Refusals for want of room are decided at once; those that follow one another leave once per millisecond.

A refusal is an invitation to ask again, and some clients do so at once. Ten attempts within 3 ms find the
plan as the first one found it and take the core from those who are in it; spread over ten milliseconds they
cost less, and some get in (docs/decisions.md, the pace of refusals).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PAUSE_S = 0.001

Leave = Callable[[], None]


class Pace:
    """Lets refusals go, once per pause; used on the event loop only."""

    def __init__(self) -> None:
        self._held: list[Leave] = []
        self._left_s = -PAUSE_S

    def hold(self, leave: Leave) -> None:
        """Call `leave` now, or with the others when the pause is over."""
        if self._held:
            self._held.append(leave)
            return
        rest_s = self._left_s + PAUSE_S - time.monotonic()
        if rest_s > 0:
            self._held.append(leave)
            asyncio.get_running_loop().call_later(rest_s, self._release)
            return
        self._left_s = time.monotonic()
        leave()

    def _release(self) -> None:
        held, self._held = self._held, []
        self._left_s = time.monotonic()
        for leave in held:
            leave()
