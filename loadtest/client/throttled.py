"""A door before which the client says no itself, as callers of `podium.client` do when refused often."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

import grpc

from loadtest.client.door import Door, Ended, Settle
from podium.client.refused import RankRefused
from podium.client.throttle import REASON, Throttle, ThrottlePolicy
from podium.v1.refusal import RefusalDetails

OVERLOADED: Final = "overloaded"
_SEED: Final = 7
_NOT_SENT: Final = Ended(OVERLOADED, REASON, grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
_NO_ROOM: Final = RankRefused(
    grpc.StatusCode.RESOURCE_EXHAUSTED, "", RefusalDetails(OVERLOADED, "OVERLOADED", "", None, None)
)


class Throttled:
    """One client with the throttle that `podium.client` has unless told otherwise; one importance class.

    Every process is such a client: each has to learn for itself.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._throttle = Throttle(ThrottlePolicy())
        self._dice = random.Random(_SEED)
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        """Connect."""
        await self._door.open()

    def ask(self, number: int, message: bytes, timeout_s: float, settle: Settle) -> None:
        """Send, or end it here as a refusal."""
        try:
            self._throttle.ask(0, time.monotonic(), self._dice.random())
        except RankRefused:
            self._loop.call_soon(lambda: settle(number, time.monotonic_ns(), _NOT_SENT))
            return

        def told(number: int, at_ns: int, said: bytes | Ended) -> None:
            full = isinstance(said, Ended) and said.ending == OVERLOADED
            self._throttle.told(0, at_ns / 1e9, _NO_ROOM if full else None)
            settle(number, at_ns, said)

        self._door.ask(number, message, timeout_s, told)

    async def close(self) -> None:
        """Leave."""
        await self._door.close()
