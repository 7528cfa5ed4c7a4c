"""Sends each request at its instant, never waits for an answer before the next.

Rule: nothing here decodes a request, and a reply only after its instant is on record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from loadtest.client import answers
from loadtest.client.door import Door, Ended
from loadtest.client.timer import Alarm
from loadtest.records import ENDINGS, MISSING

EARLY_NS: Final = 2_000_000
"""The alarm goes off this early; the rest is waited out in empty turns of the loop, which serve replies as
they
come. A core that sleeps is slow for a while when it wakes, and slower still where a host lends it to others
meanwhile: at 500/s, 2 ms early gave a p99 send lag of 0.12 to 0.16 ms, 0.3 ms early 0.20 to 0.26, 0.1 ms
early 0.28 to 0.31 (docs/decisions.md)."""
TURN_NS_MAX: Final = 50_000
"""A turn of the loop longer than that had something to do; a shorter one without answers was a wait."""
PROBE_S: Final = 0.01
"""How often the loop's own lag and the CPU time are looked at."""
REASONS_MAX: Final = 200
"""The records have one byte for a reason; a server that invents more of them is told apart no further."""
OTHER: Final = "OTHER"
SAMPLES_BYTES_MAX: Final = 128 << 20
"""Of sampled answers: then sampling ends."""


class Rows(Protocol):
    """Records by position; what is written to one is seen by whoever mapped the file."""

    def __getitem__(self, at: int, /) -> Any:
        """One record, not a copy."""


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """What one process sends: columns [requests], by intended instant.

    Attributes:
        rows: where the records go.
        intended_ns: from the run's start.
        message: index in `messages`.
        timeout_s: the RPC's deadline, as a duration.
        sampled: keep the answer whole.
    """

    rows: Rows
    intended_ns: NDArray[np.int64]
    message: NDArray[np.int64]
    timeout_s: NDArray[np.float64]
    sampled: NDArray[np.bool_]


@dataclass(slots=True)
class Seen:
    """What a process hands back beside its records.

    Attributes:
        reasons: names that `rows["reason"]` indexes; the first is "".
        probes: int64 [n, 3]: instant (ns from the start), CPU time without waiting turns (ns), loop lag (ns).
        in_flight_ns: integral of the number of requests in flight: Little's L times the duration.
        samples: [(position in the share, answer)].
    """

    reasons: list[str]
    probes: NDArray[np.int64]
    in_flight_ns: int
    samples: list[tuple[int, bytes]] = field(default_factory=list)


class Reasons:
    """Numbers for the words that requests end with."""

    def __init__(self) -> None:
        self._numbers = {"": 0}

    @property
    def names(self) -> list[str]:
        """By number; the first is ""."""
        return list(self._numbers)

    def number(self, name: str) -> int:
        """Of a word, new or known."""
        if len(self._numbers) >= REASONS_MAX and name not in self._numbers:
            name = OTHER
        return self._numbers.setdefault(name, len(self._numbers))


class Sender:
    """Sends one share; its rows are filled as replies come."""

    def __init__(
        self, share: Share, messages: Sequence[bytes], door: Door, start_ns: int, in_flight_max: int
    ) -> None:
        self._share = share
        self._door = door
        self._start_ns = start_ns
        self._in_flight_max = in_flight_max
        self._payloads = [messages[at] for at in share.message]
        self._timeouts_s: list[float] = share.timeout_s.tolist()
        self._due_ns: list[int] = (share.intended_ns + start_ns).tolist()
        self._sampled: list[bool] = share.sampled.tolist()
        self._sampled_bytes = 0
        self._next = 0
        self._reasons = Reasons()
        self._samples: list[tuple[int, bytes]] = []
        self._probes: list[tuple[int, int, int]] = []
        self._alarm = Alarm()
        self._all_sent = asyncio.get_running_loop().create_future()
        self._all_done: asyncio.Future[None] | None = None
        self._turned_ns = self._waited_ns = self._settled = self._settled_before = 0
        self._in_flight = self._counted_ns = self._in_flight_ns = 0

    async def run(self) -> Seen:
        """Send everything, or what is due until `stop`; wait for every reply."""
        loop = asyncio.get_running_loop()
        probe = asyncio.create_task(self._probe())
        loop.add_reader(self._alarm.fd, self._rung)
        self._set_alarm()
        await self._all_sent
        loop.remove_reader(self._alarm.fd)
        if self._in_flight:
            self._all_done = loop.create_future()
            await self._all_done
        probe.cancel()
        self._alarm.close()
        self._count(time.monotonic_ns(), 0)
        probes = np.array(self._probes, np.int64).reshape(-1, 3)
        return Seen(self._reasons.names, probes, self._in_flight_ns, self._samples)

    def stop(self) -> None:
        """Send no more."""
        self._next = len(self._due_ns)
        if not self._all_sent.done():
            self._all_sent.set_result(None)

    def _set_alarm(self) -> None:
        if self._next < len(self._due_ns):
            self._alarm.set(self._due_ns[self._next] - EARLY_NS)
        elif not self._all_sent.done():
            self._all_sent.set_result(None)

    def _rung(self) -> None:
        self._alarm.clear()
        self._turned_ns = 0
        self._turn()

    def _turn(self) -> None:
        """Send what is due; wait turn by turn when the next is near, else set the alarm."""
        now_ns = time.monotonic_ns()
        if (
            self._turned_ns
            and self._settled == self._settled_before
            and now_ns - self._turned_ns < TURN_NS_MAX
        ):
            self._waited_ns += now_ns - self._turned_ns
        self._turned_ns, self._settled_before = now_ns, self._settled
        self._send_due(now_ns)
        if self._next < len(self._due_ns) and self._due_ns[self._next] - now_ns <= EARLY_NS:
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._set_alarm()

    def _send_due(self, now_ns: int) -> None:
        """Start every request whose instant has come: many after a stall, since the schedule never moves."""
        while self._next < len(self._due_ns) and self._due_ns[self._next] <= now_ns:
            if self._in_flight < self._in_flight_max:
                self._send(self._next)
                now_ns = self._turned_ns = time.monotonic_ns()
            self._next += 1

    def _send(self, at: int) -> None:
        sent_ns = time.monotonic_ns()
        self._count(sent_ns, +1)
        row = self._share.rows[at]
        row["sent_ns"] = sent_ns - self._start_ns
        row["ending"] = _MISSING
        self._door.ask(at, self._payloads[at], self._timeouts_s[at], self._settle)

    def _settle(self, at: int, at_ns: int, said: bytes | Ended) -> None:
        """A request has ended."""
        self._count(at_ns, -1)
        self._settled += 1
        row = self._share.rows[at]
        row["done_ns"] = at_ns - self._start_ns
        if isinstance(said, Ended):
            row["ending"], row["code"] = ENDINGS.index(said.ending), min(said.code, 255)
            row["reason"] = self._reasons.number(said.reason)
        else:
            if unreadable := answers.note(row, said):
                row["reason"] = self._reasons.number(unreadable)
            if self._sampled[at] and self._sampled_bytes < SAMPLES_BYTES_MAX:
                self._sampled_bytes += len(said)
                self._samples.append((at, said))
        if self._all_done is not None and not self._in_flight and not self._all_done.done():
            self._all_done.set_result(None)

    def _count(self, now_ns: int, change: int) -> None:
        self._in_flight_ns += self._in_flight * (now_ns - self._counted_ns)
        self._counted_ns = now_ns
        self._in_flight += change

    async def _probe(self) -> None:
        loop, alarm = asyncio.get_running_loop(), Alarm()
        rung = asyncio.Event()

        def ring() -> None:
            alarm.clear()
            rung.set()

        loop.add_reader(alarm.fd, ring)
        due_ns = max(self._start_ns, time.monotonic_ns())
        try:
            while True:
                due_ns += round(PROBE_S * 1e9)
                alarm.set(due_ns)
                await rung.wait()
                rung.clear()
                now_ns = time.monotonic_ns()
                busy_ns = time.process_time_ns() - self._waited_ns
                self._probes.append((now_ns - self._start_ns, busy_ns, now_ns - due_ns))
        finally:
            loop.remove_reader(alarm.fd)
            alarm.close()


_MISSING: Final = ENDINGS.index(MISSING)
