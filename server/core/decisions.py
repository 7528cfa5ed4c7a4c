"""The closed vocabulary between the scheduler and the shell that obeys it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from server.errors import Reason

DEFAULT_IMPORTANCE = 2
"""As on the wire: 1 critical, 2 default, 3 sheddable; less is more important."""


class Lane(NamedTuple):
    """What may share a run: one variant of one model version. Each lane has a cost model of its own."""

    model: str
    version: int
    variant: str


class Ends(Protocol):
    """Ascending whole numbers, of a list or an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int, /) -> Any: ...


class Ticket(NamedTuple):
    """The scheduler's view of a request. Times are absolute monotonic nanoseconds."""

    id: int
    lane: Lane
    rows: int
    arrival_ns: int
    deadline_ns: int
    importance: int = DEFAULT_IMPORTANCE
    ends: Ends | None = None
    """Where the lane counts tokens: those of the rows up to and with each. None: it counts rows."""

    @property
    def load(self) -> int:
        """What it costs, in what its lane counts: rows, or tokens."""
        return self.rows if self.ends is None else int(self.ends[-1])


class Part(NamedTuple):
    """A stretch of a ticket's rows that runs in one piece; most tickets have one part, themselves.

    `load` is what it costs, in what its lane counts: rows, or tokens.
    """

    ticket: Ticket
    start: int
    rows: int
    load: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """The plan holds a place where this ticket finishes in time and nobody admitted becomes late.

    Attributes:
        parts: how many runs it is split over.
        displaced: less important tickets that had to go for it; they have left the queue.
    """

    parts: int = 1
    displaced: tuple[Ticket, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """No such place.

    Attributes:
        retry_after_ns: when the plan expects room; None when waiting cannot help.
        minimum_ns: predicted time of this ticket on an idle executor.
        queue_ns: predicted time until everything admitted before is done.
        rows_per_s: what the executors can score of this lane, of rows like this ticket's; 0 where nobody
            asked.
    """

    reason: Reason
    retry_after_ns: int | None
    minimum_ns: int
    queue_ns: int = 0
    rows_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Run these parts, now, on this executor; they share a lane.

    Attributes:
        predicted_ns: with the neighbours' share and caution.
        alone_ns: with the machine to itself, on average.
        probe: started although the model says that it cannot end in time, to learn whether the model errs.
        given_up: who can no longer be served in time, and has left the queue.
    """

    executor: int
    lane: Lane
    parts: tuple[Part, ...]
    rows: int
    predicted_ns: int
    alone_ns: int
    probe: bool = False
    given_up: tuple[Ticket, ...] = ()


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to start.

    Attributes:
        until_ns: ask again then, if nothing new has come; None = only when something new comes.
        given_up: as in `Dispatch`.
    """

    until_ns: int | None = None
    given_up: tuple[Ticket, ...] = ()


Step: TypeAlias = Dispatch | Idle


@dataclass(frozen=True, slots=True)
class RunTime:
    """How long a finished run took, pack to split.

    Attributes:
        wall_ns: on the clock.
        cpu_ns: of the executor's own thread; None where the thread's CPU time says nothing about the work
            (an engine that computes elsewhere).
    """

    wall_ns: int
    cpu_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Stuck:
    """An executor whose run is so much overdue that those in it should not wait for it any longer.

    Attributes:
        hopeless: it has been so for so long that the run should be ended by force.
    """

    executor: int
    dispatch: Dispatch
    hopeless: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The scheduler's state as numbers, for gauges and the status page."""

    queue_depth: int
    queue_rows: int
    planned_work_ns: int
    executors_busy: int
    executors_stuck: int = 0
    probes: int = 0
