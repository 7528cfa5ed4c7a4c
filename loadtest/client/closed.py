"""A closed loop: so many callers, each asking again once it was answered. For finding ceilings, nothing
else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from loadtest.client import answers
from loadtest.client.door import Door, Ended, answer
from loadtest.client.sender import Reasons, Seen, Share
from loadtest.records import ENDINGS


class Closed:
    """Fills its rows in the order in which it sends; what is left blank was not sent."""

    def __init__(
        self,
        share: Share,
        messages: Sequence[bytes],
        door: Door,
        start_ns: int,
        loop: tuple[int, float, int],
    ) -> None:
        self._share = share
        self._payloads = [messages[at] for at in share.message]
        self._door = door
        self._start_ns = start_ns
        self._callers, self._think_s, self._end_ns = loop
        self._next = 0
        self._reasons = Reasons()

    async def run(self) -> Seen:
        """Ask until the end, or until `stop`; wait for every reply."""
        await asyncio.sleep(max(self._start_ns - time.monotonic_ns(), 0) / 1e9)
        cpu_ns = time.process_time_ns()
        await asyncio.gather(*(self._caller() for _ in range(self._callers)))
        ended = (time.monotonic_ns() - self._start_ns, time.process_time_ns(), 0)
        return Seen(self._reasons.names, np.array([(0, cpu_ns, 0), ended], np.int64), 0)

    def stop(self) -> None:
        """Ask no more."""
        self._end_ns = 0

    async def _caller(self) -> None:
        while self._next < len(self._payloads):
            sent_ns = time.monotonic_ns() - self._start_ns
            if sent_ns >= self._end_ns:
                return
            at, self._next = self._next, self._next + 1
            row = self._share.rows[at]
            row["intended_ns"] = row["sent_ns"] = sent_ns
            said = await answer(self._door, self._payloads[at], float(self._share.timeout_s[at]))
            row["done_ns"] = time.monotonic_ns() - self._start_ns
            if isinstance(said, Ended):
                row["ending"], row["code"] = ENDINGS.index(said.ending), min(said.code, 255)
                row["reason"] = self._reasons.number(said.reason)
            else:
                row["reason"] = self._reasons.number(answers.note(row, said))
            if self._think_s:
                await asyncio.sleep(self._think_s)
