"""Refusals leave together, later, each once."""

from __future__ import annotations

import asyncio

from server.pace import PAUSE_S, Pace


def test_what_is_held_leaves_together_and_once() -> None:
    """Nothing leaves within the call; later all do, in order; what comes then waits for its own turn."""
    gone: list[int] = []

    async def play() -> list[list[int]]:
        pace, seen = Pace(), []
        pace.hold(lambda: gone.append(1))
        pace.hold(lambda: gone.append(2))
        seen.append(gone[:])
        while len(gone) < 2:
            await asyncio.sleep(PAUSE_S)
        seen.append(gone[:])
        pace.hold(lambda: gone.append(3))
        seen.append(gone[:])
        while len(gone) < 3:
            await asyncio.sleep(PAUSE_S)
        seen.append(gone[:])
        return seen

    assert [[], [1, 2], [1, 2], [1, 2, 3]] == asyncio.run(asyncio.wait_for(play(), 10))


def test_who_leaves_may_be_followed_by_another() -> None:
    """A refused caller asks again at once: that refusal is not part of the round that is leaving."""
    rounds: list[int] = []

    async def play() -> None:
        pace, loop = Pace(), asyncio.get_running_loop()
        began_s = loop.time()

        def again() -> None:
            rounds.append(round((loop.time() - began_s) / PAUSE_S * 1e3))
            if len(rounds) < 3:
                pace.hold(again)

        pace.hold(again)
        while len(rounds) < 3:
            await asyncio.sleep(PAUSE_S)

    asyncio.run(asyncio.wait_for(play(), 10))
    assert rounds[0] < rounds[1] < rounds[2]
