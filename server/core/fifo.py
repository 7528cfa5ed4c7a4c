"""The baseline: what a batching server without a plan offers. For comparison, and for nothing else.

First come, first served, a bounded queue, a queue timeout, a largest batch and a fixed delay in which a batch
may fill: the settings of Triton's dynamic batcher. A deadline means nothing here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from server.core.cost import CostModel
from server.core.decisions import (
    Admitted,
    Dispatch,
    Idle,
    Lane,
    Part,
    Rejected,
    RunTime,
    Snapshot,
    Step,
    Stuck,
    Ticket,
)
from server.core.executors import Executors
from server.core.margin import Margin
from server.core.planned_run import Terms
from server.errors import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class FifoLimits:
    """Settings of the queue.

    Attributes:
        timeout_ns: who has waited longer is given up; 0 = nobody is.
        delay_ns: so long a batch that is not full waits for company.
    """

    rows_max: int = 512
    requests_max: int = 64
    queue_max: int = 10_000
    timeout_ns: int = 0
    delay_ns: int = 0


class FifoScheduler:
    """A queue and its batches."""

    def __init__(self, limits: FifoLimits, executors: int = 1) -> None:
        self._limits = limits
        self._terms: dict[Lane, Terms] = {}
        self._waiting: OrderedDict[int, Ticket] = OrderedDict()
        self._executors = Executors(executors)

    def add_lane(
        self, lane: Lane, cost: CostModel, *, budget_ns: int = 25_000_000, chunk_ns: int | None = None
    ) -> None:
        """Make a lane known; nothing is split here."""
        self._terms[lane] = Terms(cost, Margin(budget_ns, 0), None)

    @property
    def terms(self) -> Mapping[Lane, Terms]:
        """Cost models learn here too, to be looked at."""
        return self._terms

    def look(self, ticket: Ticket, *, now_ns: int) -> Rejected | None:
        """Whether the queue is full."""
        if len(self._waiting) < self._limits.queue_max:
            return None
        return Rejected(Reason.OVERLOADED, max(self._limits.timeout_ns, 1_000_000), 0)

    def offer(self, ticket: Ticket, *, now_ns: int) -> Admitted | Rejected:
        """Admit while the queue has room."""
        if (full := self.look(ticket, now_ns=now_ns)) is not None:
            return full
        self._waiting[ticket.id] = ticket
        return Admitted()

    def expire(self, *, now_ns: int) -> tuple[Ticket, ...]:
        """Remove and return those who have waited too long."""
        gone: list[Ticket] = []
        at_ns = self.next_expiry_ns()
        while at_ns is not None and at_ns < now_ns:
            gone.append(self._waiting.popitem(last=False)[1])
            at_ns = self.next_expiry_ns()
        return tuple(gone)

    def step(self, executor: int, *, now_ns: int) -> Step:
        """Give an idle executor the oldest and who may share its run, once the run is full or old enough."""
        if not self._waiting:
            return Idle()
        limits = self._limits
        head = next(iter(self._waiting.values()))
        taken: list[Ticket] = []
        rows, full = 0, False
        for ticket in self._waiting.values():
            if ticket.lane != head.lane:
                continue
            if taken and (rows + ticket.rows > limits.rows_max or len(taken) == limits.requests_max):
                full = True
                break
            taken.append(ticket)
            rows += ticket.rows
        full = full or len(taken) == limits.requests_max
        due_ns = head.arrival_ns + limits.delay_ns
        if not full and now_ns < due_ns:
            return Idle(due_ns)
        for ticket in taken:
            del self._waiting[ticket.id]
        parts = tuple(Part(ticket, 0, ticket.rows, ticket.load) for ticket in taken)
        cost, load = self._terms[head.lane].cost, sum(part.load for part in parts)
        predicted_ns, alone_ns = cost.predict_ns(len(parts), load), cost.alone_ns(len(parts), load)
        dispatch = Dispatch(executor, head.lane, parts, rows, predicted_ns, alone_ns)
        self._executors.begin(executor, dispatch, now_ns)
        return dispatch

    def next_expiry_ns(self) -> int | None:
        """When the oldest has waited too long; None if nobody can."""
        if not self._waiting or not self._limits.timeout_ns:
            return None
        return next(iter(self._waiting.values())).arrival_ns + self._limits.timeout_ns

    def complete(self, executor: int, run: RunTime | None, *, now_ns: int) -> float | None:
        """The executor's run ended."""
        dispatch = self._executors.end(executor)
        if run is None:
            return None
        load = sum(part.load for part in dispatch.parts)
        return self._terms[dispatch.lane].cost.learn(len(dispatch.parts), load, run, now_ns)

    def answered(self, lane: Lane, *, late: int, requests: int) -> None:
        """Nothing is concluded from it."""

    def cancel(self, ticket: Ticket) -> bool:
        """Take a ticket out; False if it no longer waits."""
        return self._waiting.pop(ticket.id, None) is not None

    def stuck(self, *, now_ns: int) -> tuple[Stuck, ...]:
        """Runs that have to be taken for lost."""
        return self._executors.stuck(now_ns)

    def snapshot(self, *, now_ns: int) -> Snapshot:
        """Read the state as numbers."""
        work_ns = sum(self._terms[t.lane].cost.predict_ns(1, t.load) for t in self._waiting.values())
        return Snapshot(
            queue_depth=len(self._waiting),
            queue_rows=sum(ticket.rows for ticket in self._waiting.values()),
            planned_work_ns=self._executors.free_ns(now_ns)[0] - now_ns + work_ns // len(self._executors),
            executors_busy=self._executors.busy(),
            executors_stuck=len(self._executors.stuck(now_ns)),
        )
