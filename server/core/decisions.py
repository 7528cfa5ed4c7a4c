"""The closed vocabulary between the scheduler and the shell that obeys it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from server.errors import Reason


class Lane(NamedTuple):
    """What may share a run: one variant of one model version. Each lane has a cost model of its own."""

    model: str
    version: int
    variant: str


class Ticket(NamedTuple):
    """The scheduler's view of a request. Times are absolute monotonic nanoseconds."""

    id: int
    lane: Lane
    rows: int
    arrival_ns: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """The plan holds a place where this ticket finishes in time and nobody admitted becomes late."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """No such place.

    Attributes:
        retry_after_ns: when the plan expects room; None when waiting cannot help.
        minimum_ns: predicted time of this ticket on an idle executor.
    """

    reason: Reason
    retry_after_ns: int | None
    minimum_ns: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Run these tickets, now, on this executor; they share a lane and are in deadline order."""

    executor: int
    lane: Lane
    tickets: tuple[Ticket, ...]
    rows: int
    predicted_ns: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to start: nothing waits that could still finish in time."""


Step: TypeAlias = Dispatch | Idle


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The scheduler's state as numbers, for gauges and the status page."""

    queue_depth: int
    queue_rows: int
    planned_work_ns: int
    executors_busy: int
