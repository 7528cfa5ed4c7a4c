"""A scenario made ready to run: messages loaded, schedule built, processes and cores chosen. Nothing is
sent."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from loadtest import workload
from loadtest.result import Calibration, WorkloadFacts
from loadtest.scenario.form import Closed, Scenario, Shuffle, Target, Unique
from loadtest.schedule.build import Schedule, build, closed
from loadtest.workload import Workload

CLOSED_ROWS_PER_S: Final = 50_000
"""A closed loop's records are bounded by that: more than our client sends (over a stream, 64 in flight, class
A: 34,000/s)."""


CalibrationFor = Callable[[int, Target], Calibration | None]
"""The calibration of this client for messages of so many bytes, sent in this way; None when there is none."""


class BadPlan(ValueError):
    """The scenario cannot be run as it is. One sentence that names the key."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What will be done.

    Attributes:
        scenario: complete: nothing is left to be looked up.
        cores: per client process; empty = not pinned.
        calibration: of this client on this machine for messages of this size; None = there is none.
    """

    scenario: Scenario
    workload: Workload
    schedule: Schedule
    processes: int
    cores: tuple[int, ...]
    calibration: Calibration | None

    @property
    def facts(self) -> WorkloadFacts:
        """What is sent."""
        work, counts = self.workload, np.sort(self.workload.candidates)
        return WorkloadFacts(
            requests=self.scenario.workload.requests,
            messages=len(work.messages),
            sent_messages=len(np.unique(self.message_numbers())),
            candidates_least=int(counts[0]),
            candidates_median=int(counts[len(counts) // 2]),
            candidates_most=int(counts[-1]),
            bytes_median=median_bytes(work),
            sha256=work.sha256,
        )

    @property
    def duration_s(self) -> float:
        """From the first to the last send instant's phase."""
        return self.schedule.ends_ns[-1] / 1e9

    def message_numbers(self) -> NDArray[np.int64]:
        """Index in the workload's messages, per request."""
        return self.schedule.classes * self.workload.originals + self.schedule.messages

    def look(self, number: int) -> Plan:
        """The same for another look: other arrivals, other messages, of the same scenario."""
        if number == 0:
            return self
        seed = self.scenario.workload.seed + number
        return replace(self, schedule=_schedule(self.scenario, self.workload, seed, self.processes))


def median_bytes(work: Workload) -> int:
    """Of the messages as sent."""
    return int(np.median([len(message) for message in work.messages]))


def prepare(scenario: Scenario, calibration_for: CalibrationFor) -> Plan:
    """Read what the scenario names and plan it.

    Args:
        calibration_for: asked for the calibration of messages of a size.

    Raises:
        BadPlan: something that it names cannot be used, or something is not named.
    """
    try:
        scenario = workload.complete(scenario)
        work = workload.load(scenario)
        calibration = calibration_for(median_bytes(work), scenario.target)
        schedule = _schedule(scenario, work, scenario.workload.seed, 1)
        processes = scenario.client.processes or _processes(scenario, schedule, calibration)
        cores = _cores(scenario, processes)
        schedule = schedule.spread(processes, scenario.workload.seed)
    except (OSError, ValueError) as error:
        raise BadPlan(str(error)) from error
    if not len(schedule.intended_ns):
        raise BadPlan("nothing is planned: the phases are too short for their rates")
    if scenario.target.kind == "rank" and not scenario.target.address:
        raise BadPlan("target.address is not set: give --target host:port")
    return Plan(scenario, work, schedule, processes, cores, calibration)


def _schedule(scenario: Scenario, work: Workload, seed: int, processes: int) -> Schedule:
    arrivals = scenario.phases[0].arrivals
    if isinstance(arrivals, Closed):
        rows = int(scenario.phases[0].duration_s * CLOSED_ROWS_PER_S)
        # A ceiling asks again and again, whatever order is wanted for the run itself.
        if isinstance(scenario.workload.order, Unique):
            shuffled = msgspec.structs.replace(scenario.workload, order=Shuffle())
            scenario = msgspec.structs.replace(scenario, workload=shuffled)
        return closed(scenario, rows, work.originals, seed).spread(processes, seed)
    return build(scenario, work.originals, seed).spread(processes, seed)


def _processes(scenario: Scenario, schedule: Schedule, calibration: Calibration | None) -> int:
    """As many as the busiest second of the plan needs, but one core each: two on one disturb each other, and
    a core must be left to the server. Where that is too few, the guards will say so.
    """
    if calibration is None or not len(schedule.intended_ns):
        return 1
    busiest = int(np.bincount(schedule.intended_ns // 1_000_000_000).max())
    needed = math.ceil(busiest / max(calibration.judged_per_s_max, 1.0))
    cores = len(scenario.client.cores) or len(os.sched_getaffinity(0)) - 1
    return max(1, min(needed, cores))


def _cores(scenario: Scenario, processes: int) -> tuple[int, ...]:
    """The cores asked for, else the last usable ones: servers tend to be pinned to the first."""
    client = scenario.client
    usable = sorted(os.sched_getaffinity(0))
    if not client.pin:
        return ()
    for core in client.cores:
        if core not in usable:
            raise ValueError(f"client.cores: {core} is not usable here; usable: {usable}")
    chosen = list(client.cores) or usable[-min(processes, len(usable)) :]
    return tuple(chosen[at % len(chosen)] for at in range(processes))
