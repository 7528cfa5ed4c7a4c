"""A scenario's schedule: every request of the run, in order of its send instant."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from loadtest.scenario.form import Closed, Scenario, deadline_s
from loadtest.schedule import arrivals, picks

_PHASE, _CLASSES, _MESSAGES, _PROCESSES, _SAMPLE = range(5)
"""Streams of random numbers: changing one column leaves the others as they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Columns [requests]; phases [phases].

    Attributes:
        intended_ns: from the run's start, ascending.
        phase, classes: index in the scenario's.
        messages: index in the request set, before any rewriting by class.
        process: who sends it.
        sampled: its answer is kept whole.
        starts_ns, ends_ns: of each phase.
    """

    intended_ns: NDArray[np.int64]
    phase: NDArray[np.int64]
    classes: NDArray[np.int64]
    messages: NDArray[np.int64]
    process: NDArray[np.int64]
    sampled: NDArray[np.bool_]
    starts_ns: tuple[int, ...]
    ends_ns: tuple[int, ...]

    @property
    def digest(self) -> str:
        """sha256 of what will be sent and when: equal digests, equal runs."""
        columns = (self.intended_ns, self.phase, self.classes, self.messages)
        return hashlib.sha256(b"".join(column.astype("<i8").tobytes() for column in columns)).hexdigest()

    def spread(self, processes: int, seed: int) -> Schedule:
        """The same requests, shared among so many processes."""
        rng = np.random.default_rng([seed, _PROCESSES])
        return replace(self, process=picks.processes(len(self.intended_ns), processes, rng))


def build(scenario: Scenario, messages: int, seed: int) -> Schedule:
    """Every request of an open-loop scenario, for one process.

    Args:
        messages: how many the request set holds.
        seed: the workload's, or another for another look.

    Raises:
        ValueError: the rate is not given, a trace cannot be used, or there are too few messages.
        OSError: a trace cannot be read.
    """
    needs_rate = not all(hasattr(phase.arrivals, "path") for phase in scenario.phases)
    if needs_rate and not scenario.rate_per_s:
        raise ValueError("rate_per_s is not set: give --rate, the requests per second at load 1")
    starts, ends = boundaries_ns(scenario)
    parts = [
        start_ns + arrivals.instants(phase, scenario.rate_per_s, (seed, _PHASE, index))
        for index, (phase, start_ns) in enumerate(zip(scenario.phases, starts, strict=True))
    ]
    intended = np.concatenate(parts)
    count = len(intended)
    drawn = picks.classes(count, scenario.workload.mix, np.random.default_rng([seed, _CLASSES]))
    chosen = np.zeros(count, np.int64)
    for index in range(len(scenario.workload.mix)):
        mine = drawn == index
        rng = np.random.default_rng([seed, _MESSAGES, index])
        chosen[mine] = picks.messages(int(mine.sum()), messages, scenario.workload.order, rng)
    return Schedule(
        intended_ns=intended,
        phase=np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        classes=drawn,
        messages=chosen,
        process=np.zeros(count, np.int64),
        sampled=np.random.default_rng([seed, _SAMPLE]).random(count) < scenario.quality.sample,
        starts_ns=starts,
        ends_ns=ends,
    )


def closed(scenario: Scenario, rows: int, messages: int, seed: int) -> Schedule:
    """Rows for a closed loop, which decides its instants as it goes; `rows` bounds how many it may send."""
    (phase,) = scenario.phases
    assert isinstance(phase.arrivals, Closed)
    rng = np.random.default_rng([seed, _MESSAGES, 0])
    return Schedule(
        intended_ns=np.zeros(rows, np.int64),
        phase=np.zeros(rows, np.int64),
        classes=picks.classes(rows, scenario.workload.mix, np.random.default_rng([seed, _CLASSES])),
        messages=picks.messages(rows, messages, scenario.workload.order, rng),
        process=np.zeros(rows, np.int64),
        sampled=np.zeros(rows, np.bool_),
        starts_ns=(0,),
        ends_ns=(round(phase.duration_s * 1e9),),
    )


def boundaries_ns(scenario: Scenario) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Start and end of each phase, from the run's start."""
    gap_ns = round(deadline_s(longest_budget_ms(scenario)) * 1e9)
    starts, ends, at_ns = [], [], 0
    for phase in scenario.phases:
        starts.append(at_ns)
        ends.append(at_ns + round(phase.duration_s * 1e9))
        at_ns = ends[-1] + (gap_ns if phase.drain else 0)
    return tuple(starts), tuple(ends)


def longest_budget_ms(scenario: Scenario) -> float:
    """Of the slo and the classes."""
    return max(scenario.slo.budget_ms, *(entry.budget_ms for entry in scenario.workload.mix))


def budgets_ms(scenario: Scenario) -> tuple[float, ...]:
    """Budget of each class of the mix."""
    return tuple(entry.budget_ms or scenario.slo.budget_ms for entry in scenario.workload.mix)
