"""Was it the server that was measured? One guard per way in which a client deceives itself. Pure.

Rule: a guard that trips makes a phase INVALID; there is no "almost".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtest.client.sender import Seen
from loadtest.records import NEVER_NS, Records
from loadtest.result import Guard
from loadtest.scenario.form import Limits
from loadtest.stats.distance import ks_distance

LATE_NS = 1_000_000
GAPS_MIN = 50
"""Fewer gaps than that show no distribution."""
RATE_OVER_S = 5.0
"""Long enough that a Poisson second above the mean is not taken for a higher rate."""
GAP_NS = 100_000
"""Gaps that differ by less are alike: a plan of equal gaps is kept by sends that miss it by microseconds."""
LAG_MS_MIN, LAG_BUDGET_SHARE = 0.5, 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """What the client and the machine did during one phase.

    Attributes:
        from_ns, to_ns: of the phase, from the run's start.
        seen: per process.
        steal: share of the machine's time.
        littles_law: of the whole run.
        judged_per_s_max: per process, by calibration; None = not calibrated.
        died: client processes that did not hand over.
        open_loop: the send instants were planned.
    """

    from_ns: int
    to_ns: int
    seen: Sequence[Seen]
    steal: float
    littles_law: float
    judged_per_s_max: float | None
    died: int = 0
    open_loop: bool = True


def check(phase: Records, side: Side, limits: Limits, budget_ms: float) -> list[Guard]:
    """Every guard with its value, tripped or not, over the records of one phase."""
    found = [
        Guard(
            name="client CPU",
            value=cpu(side.seen, side.from_ns, side.to_ns),
            limit=limits.client_cpu,
            unit="of a core",
            says="a client short of CPU queues, and would report its own queue",
        ),
        Guard(
            name="steal",
            value=side.steal,
            limit=limits.steal,
            unit="of the machine's time",
            says="the host gave the machine's time to others",
        ),
        Guard(
            name="client processes lost",
            value=float(side.died),
            limit=0.0,
            unit="",
            says="what they would have sent is missing",
        ),
    ]
    if side.open_loop and len(phase.rows):
        found += _sending(phase, side, limits, budget_ms)
    return found


def _sending(phase: Records, side: Side, limits: Limits, budget_ms: float) -> list[Guard]:
    rows = phase.rows
    sent = rows["sent_ns"] != NEVER_NS
    lag_ns = np.sort((rows["sent_ns"] - rows["intended_ns"])[sent])
    unsent = int((~sent).sum())
    found = [
        Guard(
            name="send lag p99",
            value=_p99_ms(lag_ns),
            limit=limits.send_lag_p99_ms or max(LAG_MS_MIN, LAG_BUDGET_SHARE * budget_ms),
            unit="ms",
            says="requests that leave late are a burst that nobody ordered",
        ),
        Guard(
            name="sends late by over 1 ms",
            value=float((lag_ns > LATE_NS).mean()) if len(lag_ns) else 1.0,
            limit=limits.late_sends_ratio,
            unit="of the sends",
            says="requests that leave late are a burst that nobody ordered",
        ),
        Guard(
            name="offered rate",
            value=unsent / len(rows),
            limit=limits.offered_ratio,
            unit="off the plan",
            says="what could not be sent was not offered",
        ),
        Guard(
            name="Little's law",
            value=side.littles_law,
            limit=limits.littles_law,
            unit="off",
            says="requests in flight must be rate times time, or records were lost",
        ),
    ]
    if sent.sum() > GAPS_MIN:
        planned = np.diff(rows["intended_ns"])
        left = np.diff(np.sort(rows["sent_ns"][sent]))
        found.append(
            Guard(
                name="arrivals",
                value=ks_distance(planned, left, GAP_NS),
                limit=limits.arrivals_ks,
                unit="Kolmogorov-Smirnov distance",
                says="the gaps between sends must be those planned, or a batching server is handed batches",
            )
        )
    if side.judged_per_s_max is not None:
        found.append(
            Guard(
                name="rate per client process",
                value=_busiest_per_s(phase, side),
                limit=side.judged_per_s_max,
                unit="requests/s",
                says="beyond the calibrated range the client is the limit",
            )
        )
    return found


def cpu(seen: Sequence[Seen], from_ns: int, to_ns: int) -> float:
    """CPU time / wall time of the busiest process between two instants, empty turns of its loop left out."""
    busiest = 0.0
    for one in seen:
        # From the last probe before to the first one after: a closed loop has but two.
        first = max(int(np.searchsorted(one.probes[:, 0], from_ns, side="right")) - 1, 0)
        during = one.probes[first : int(np.searchsorted(one.probes[:, 0], to_ns)) + 1]
        if len(during) > 1 and during[-1, 0] > during[0, 0]:
            wall_ns, busy_ns, _ = during[-1] - during[0]
            busiest = max(busiest, float(busy_ns) / float(wall_ns))
    return busiest


def loop_lag_p99_ms(seen: Seen) -> float:
    """p99 of how late the process's event loop came to a timer, in ms."""
    return _p99_ms(np.sort(seen.probes[:, 2]))


def _p99_ms(ascending_ns: NDArray[np.int64]) -> float:
    # Nothing sent is as late as can be.
    return float(ascending_ns[int(0.99 * (len(ascending_ns) - 1))]) / 1e6 if len(ascending_ns) else np.inf


def littles_law(recorded: Records, seen: Sequence[Seen]) -> float:
    """|L - lambda W| / L over a whole run: the processes' own running count against the records."""
    counted_ns = sum(one.in_flight_ns for one in seen)
    rows = recorded.rows
    done = rows["done_ns"] != NEVER_NS
    summed_ns = int((rows["done_ns"] - rows["sent_ns"])[done].sum())
    return abs(counted_ns - summed_ns) / counted_ns if counted_ns else 0.0


def _busiest_per_s(phase: Records, side: Side) -> float:
    """Highest planned rate of one process, over stretches of RATE_OVER_S."""
    rows = phase.rows
    seconds = max((side.to_ns - side.from_ns) / 1e9, 1e-9)
    stretches = max(int(seconds / RATE_OVER_S), 1)
    width_s = seconds / stretches
    at = ((rows["intended_ns"] - side.from_ns) / 1e9 / width_s).astype(np.int64).clip(0, stretches - 1)
    counts = np.bincount(rows["process"].astype(np.int64) * stretches + at)
    return float(counts.max(initial=0)) / width_s
