"""Refusals leave once per pause, together, each once."""

from __future__ import annotations

import asyncio

from server.pace import PAUSE_S, Pace


def test_the_first_leaves_at_once_and_the_others_together() -> None:
    """Who follows within the pause waits for its end; each leaves once, in order."""
    gone: list[int] = []

    async def play() -> list[list[int]]:
        pace, seen = Pace(), []
        for number in (1, 2, 3):
            pace.hold(lambda number=number: gone.append(number))  # type: ignore[misc]
        seen.append(gone[:])
        while len(gone) < 3:
            await asyncio.sleep(PAUSE_S)
        seen.append(gone[:])
        await asyncio.sleep(2 * PAUSE_S)
        pace.hold(lambda: gone.append(4))
        seen.append(gone[:])
        return seen

    assert [[1], [1, 2, 3], [1, 2, 3, 4]] == asyncio.run(asyncio.wait_for(play(), 10))


def test_who_asks_again_at_once_waits_each_time() -> None:
    """A refused caller who is back within the pause is not part of the round that is leaving."""
    pauses_s: list[float] = []

    async def play() -> None:
        pace, loop = Pace(), asyncio.get_running_loop()
        before_s = loop.time()

        def again() -> None:
            nonlocal before_s
            pauses_s.append(loop.time() - before_s)
            before_s = loop.time()
            if len(pauses_s) < 4:
                pace.hold(again)

        pace.hold(again)
        while len(pauses_s) < 4:
            await asyncio.sleep(PAUSE_S)

    asyncio.run(asyncio.wait_for(play(), 10))
    assert min(pauses_s[1:]) >= 0.9 * PAUSE_S
