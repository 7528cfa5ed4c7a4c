"""A throttled door: silent until refused often, then it says no itself, and later, never from within."""

from __future__ import annotations

import asyncio
import time

from loadtest.client.door import Ended, Settle
from loadtest.client.throttled import Throttled

NO = Ended("overloaded", "OVERLOADED", 8)
LATE = Ended("timeout", "DEADLINE_EXCEEDED", 4)


class Scripted:
    """A door that always says the same."""

    def __init__(self, says: bytes | Ended) -> None:
        self._says = says
        self.asked = 0

    async def open(self) -> None:
        """Nothing to open."""

    def ask(self, number: int, message: bytes, timeout_s: float, settle: Settle) -> None:
        """Answer in the loop's next turn."""
        self.asked += 1
        asyncio.get_running_loop().call_soon(settle, number, time.monotonic_ns(), self._says)

    async def close(self) -> None:
        """Nothing to close."""


def asked(says: bytes | Ended, count: int) -> tuple[int, list[bytes | Ended]]:
    """How many of `count` requests, one after the other, were sent, and what each was told."""
    told: list[bytes | Ended] = []

    async def play() -> int:
        inner = Scripted(says)
        door = Throttled(inner)
        await door.open()
        for number in range(count):
            door.ask(number, b"", 1.0, lambda _, __, said: told.append(said))
            assert number == len(told)
            while len(told) == number:
                await asyncio.sleep(0)
        await door.close()
        return inner.asked

    return asyncio.run(asyncio.wait_for(play(), 30)), told


def test_who_is_answered_is_never_held_back() -> None:
    """Answers, and faults that are not for want of room, leave the throttle alone."""
    assert (400, [b"yes"] * 400) == asked(b"yes", 400)
    assert (400, [LATE] * 400) == asked(LATE, 400)


def test_who_is_always_refused_soon_asks_seldom() -> None:
    """A hundred refusals are believed; what is not sent ends as a refusal with a reason of its own."""
    sent, told = asked(NO, 1000)
    assert 100 <= sent < 130
    assert 1000 == len(told)
    held = [said for said in told if isinstance(said, Ended) and said.reason == "THROTTLED_BY_CLIENT"]
    assert 1000 - sent == len(held)
    assert {"overloaded"} == {said.ending for said in held}
