"""An impatient client: it asks again at once, without backoff, until it has its answer or has given up.

Open loop: new requests come on schedule whatever became of the others. The load test's own client retries
nothing, on purpose; this one shares its doors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadtest.client.door import Door, Ended

ATTEMPTS_MAX: Final = 10
PATIENCE_S: Final = 0.25
"""From a request's instant: whoever asks in vain for so long leaves."""
ATTEMPT_S: Final = 0.05
"""An attempt without an answer for so long counts as failed: two budgets of 25 ms."""
LEAD_S: Final = 0.2
NEVER: Final = -1.0

Open = Callable[[], Door]


@dataclass(frozen=True, slots=True, eq=False)
class Storm:
    """What became of it; instants in seconds from the start.

    Attributes:
        intended_s: float64 [requests].
        attempts: int64 [requests].
        answered_s: float64 [requests], when the answer came; NEVER = it did not.
        answered_in_s: float64 [requests], how long the attempt took that was answered.
        sent_s: float64 [attempts], of every attempt, in the order in which they ended.
        failed: bool [attempts].
    """

    intended_s: NDArray[np.float64]
    attempts: NDArray[np.int64]
    answered_s: NDArray[np.float64]
    answered_in_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    failed: NDArray[np.bool_]


async def send(
    open_door: Open,
    messages: Sequence[bytes],
    intended_s: NDArray[np.float64],
    triggers: Sequence[tuple[float, Callable[[], None]]] = (),
    attempts_max: int = ATTEMPTS_MAX,
) -> Storm:
    """Send a request at each instant, in turn of the messages, and retry what fails.

    Args:
        triggers: (instant, what is done then).
    """
    door = open_door()
    await door.open()
    sender = _Sender(door, messages, intended_s, attempts_max)
    loop = asyncio.get_running_loop()
    for at_s, act in triggers:
        loop.call_at(sender.start_s + at_s, act)
    try:
        await sender.run()
    finally:
        await door.close()
    return sender.found()


class _Sender:
    def __init__(
        self, door: Door, messages: Sequence[bytes], intended_s: NDArray[np.float64], attempts_max: int
    ) -> None:
        self._door, self._messages, self._attempts_max = door, messages, attempts_max
        self._intended_s = intended_s.tolist()
        self._loop = asyncio.get_running_loop()
        # The loop's clock is the monotonic one, as the doors' is.
        self.start_s = self._loop.time() + LEAD_S
        count = len(intended_s)
        self._attempts = [0] * count
        self._answered_s = [NEVER] * count
        self._answered_in_s = [NEVER] * count
        self._sent: list[float] = []
        self._failed: list[bool] = []
        self._number = self._open = 0
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Until every request has its answer or is given up."""
        for request, at_s in enumerate(self._intended_s):
            wait_s = self.start_s + at_s - self._loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._open += 1
            self._attempt(request)
        while self._open:
            self._over.clear()
            await self._over.wait()

    def found(self) -> Storm:
        """Everything on record."""
        return Storm(
            np.array(self._intended_s),
            np.array(self._attempts, np.int64),
            np.array(self._answered_s),
            np.array(self._answered_in_s),
            np.array(self._sent),
            np.array(self._failed, np.bool_),
        )

    def _attempt(self, request: int) -> None:
        self._attempts[request] += 1
        self._number += 1
        sent_s = self._loop.time() - self.start_s

        def settle(_: int, at_ns: int, said: bytes | Ended) -> None:
            self._ended(request, sent_s, at_ns / 1e9 - self.start_s, said)

        message = self._messages[request % len(self._messages)]
        self._door.ask(self._number, message, ATTEMPT_S, settle)

    def _ended(self, request: int, sent_s: float, now_s: float, said: bytes | Ended) -> None:
        failed = isinstance(said, Ended)
        self._sent.append(sent_s)
        self._failed.append(failed)
        if not failed:
            self._answered_s[request], self._answered_in_s[request] = now_s, now_s - sent_s
        elif self._attempts[request] < self._attempts_max and now_s - self._intended_s[request] < PATIENCE_S:
            self._loop.call_soon(self._attempt, request)  # a door is never asked from within its answer
            return
        self._open -= 1
        self._over.set()
