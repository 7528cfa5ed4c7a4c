"""A world on a virtual clock: it obeys the scheduler as the dispatcher does, and writes down what it saw.

The world keeps its own ledger of who waits, runs and has ended, so that what the scheduler says of itself is
never the evidence. Nothing sleeps and nothing reads a clock: the heap's next instant is now.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from server.core.cost import CostModel
from server.core.decisions import Admitted, Dispatch, Ticket
from server.core.scheduler import Limits, Scheduler
from tests.simulation.workload import MS, Script, Workload, draw

TICK_NS = MS
"""The shell's timers come up to a tick late, as uvloop's do."""
TIMER_NS_MAX = 5 * MS
"""While anything waits the shell's timer comes at least this often (dispatcher.TIMER_S_MAX)."""

SchedulerFactory = Callable[[Limits, int], Scheduler]


class Oracle(CostModel):
    """Knows the true line and has nothing to learn: predicted >= actual, always."""

    def learn(self, rows: int, actual_ns: int) -> float:
        return actual_ns / self.predict_ns(rows)


@dataclass(frozen=True, slots=True)
class Start:
    """One dispatch, with what an onlooker knew at that instant."""

    now_ns: int
    dispatch: Dispatch
    startable: tuple[Ticket, ...]
    """Who waited and could still have finished, by the model's prediction for each alone."""


@dataclass(slots=True)
class Trace:
    """All that happened, in order.

    Attributes:
        log: every event and decision, for the hash.
        endings: per ticket what it was told, when; exactly one entry each, if the scheduler is right.
        idled: instants at which an executor idled beside a ticket that it could have finished.
        overplanned: instants at which, just after an admission, planned work outlasted every deadline.
        unlearned: failed runs after which the lane's prediction differed.
        cancels: (what the scheduler said, whether the ledger had the ticket waiting).
        planned_ns_at_end: what was planned once everything had ended.
    """

    workload: Workload
    log: list[tuple[Any, ...]] = field(default_factory=list)
    admitted: dict[int, Ticket] = field(default_factory=dict)
    endings: defaultdict[int, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    starts: list[Start] = field(default_factory=list)
    idled: list[int] = field(default_factory=list)
    overplanned: list[int] = field(default_factory=list)
    unlearned: list[int] = field(default_factory=list)
    cancels: list[tuple[bool, bool]] = field(default_factory=list)
    planned_ns_at_end: int = 0
    ended_ns: int = 0

    def digest(self) -> str:
        """Hash of the decision log: the same seed gives the same digest, everywhere."""
        return hashlib.sha256(repr(self.log).encode()).hexdigest()

    def ended(self, ending: str) -> list[tuple[int, int]]:
        """(ticket id, instant) of everyone who ended so."""
        return [(n, at) for n, told in self.endings.items() for what, at in told if what == ending]


class World:
    """Plays one script against one scheduler."""

    def __init__(self, workload: Workload, make: SchedulerFactory, cost: type[CostModel]) -> None:
        limits = Limits(
            rows_max=workload.rows_max, requests_max=workload.requests_max, margin_ns=workload.margin_ns
        )
        self.trace = Trace(workload)
        self._workload = workload
        self._script: Script = draw(workload)
        self._scheduler = make(limits, workload.executors)
        for lane in self._script.lanes:
            ratio = 1.0 if cost is Oracle else 1.2
            self._scheduler.add_lane(lane, cost(workload.overhead_ns, workload.row_ns, ratio))
        self._waiting: dict[int, Ticket] = {}
        self._running: dict[int, Dispatch] = {}
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = 0
        self._runs = iter(self._script.runs)
        self._timer_ns: int | None = None

    def play(self) -> Trace:
        """Run until nothing is left to happen."""
        for ticket in self._script.tickets:
            self._at(ticket.arrival_ns, partial(self._arrive, ticket))
            if ticket.id in self._script.leaves_ns:
                self._at(self._script.leaves_ns[ticket.id], partial(self._leave, ticket))
        now_ns = 0
        while self._events:
            now_ns = self._events[0][0]
            while self._events and self._events[0][0] == now_ns:
                heapq.heappop(self._events)[2](now_ns)
            self._settle(now_ns)
        self.trace.ended_ns = now_ns
        self.trace.planned_ns_at_end = self._scheduler.planned_work_ns(now_ns=now_ns)
        return self.trace

    def _settle(self, now_ns: int) -> None:
        """The end of an instant: whoever idles asks for work, and the timer is set."""
        for executor in range(self._workload.executors):
            if executor not in self._running:
                self._pull(executor, now_ns)
        if len(self._running) < self._workload.executors and self._startable(now_ns):
            self.trace.idled.append(now_ns)
        at_ns = self._scheduler.next_expiry_ns()
        if at_ns is not None and self._timer_ns is None:
            self._timer_ns = min(max(at_ns, now_ns) + TICK_NS, now_ns + TIMER_NS_MAX)
            self._at(self._timer_ns, self._expire)

    def _arrive(self, ticket: Ticket, now_ns: int) -> None:
        verdict = self._scheduler.offer(ticket, now_ns=now_ns)
        self.trace.log.append((now_ns, "offer", ticket.id, verdict))
        if not isinstance(verdict, Admitted):
            self._end(ticket, "rejected", now_ns)
            return
        self.trace.admitted[ticket.id] = ticket
        self._waiting[ticket.id] = ticket
        last_ns = max(waiting.deadline_ns for waiting in self._waiting.values())
        if now_ns + self._scheduler.planned_work_ns(now_ns=now_ns) > last_ns:
            self.trace.overplanned.append(now_ns)

    def _leave(self, ticket: Ticket, now_ns: int) -> None:
        taken_out = self._scheduler.cancel(ticket)
        self.trace.log.append((now_ns, "cancel", ticket.id, taken_out))
        self.trace.cancels.append((taken_out, ticket.id in self._waiting))
        if taken_out:
            self._end(ticket, "cancelled", now_ns)

    def _expire(self, now_ns: int) -> None:
        self._timer_ns = None
        for ticket in self._scheduler.expire(now_ns=now_ns):
            self.trace.log.append((now_ns, "expire", ticket.id))
            self._end(ticket, "expired", now_ns)

    def _pull(self, executor: int, now_ns: int) -> None:
        startable = self._startable(now_ns)
        step = self._scheduler.step(executor, now_ns=now_ns)
        if not isinstance(step, Dispatch):
            return
        self.trace.log.append((now_ns, "start", executor, step.rows, [ticket.id for ticket in step.tickets]))
        self.trace.starts.append(Start(now_ns, step, startable))
        self._running[executor] = step
        for ticket in step.tickets:
            self._waiting.pop(ticket.id, None)
        run = next(self._runs)
        took_ns = max(int(self._workload.line_ns(step.rows) * run.factor) + run.stall_ns, 1)
        self._at(now_ns + took_ns, lambda at_ns: self._complete(executor, run.fails, took_ns, at_ns))

    def _complete(self, executor: int, fails: bool, took_ns: int, now_ns: int) -> None:
        dispatch = self._running.pop(executor)
        cost = self._scheduler.costs[dispatch.lane]
        before_ns = cost.predict_ns(100)
        self._scheduler.complete(executor, run_ns=None if fails else took_ns)
        self.trace.log.append((now_ns, "end", executor, fails))
        if fails and cost.predict_ns(100) != before_ns:
            self.trace.unlearned.append(now_ns)
        for ticket in dispatch.tickets:
            self._end(ticket, "failed" if fails else "answered", now_ns)

    def _startable(self, now_ns: int) -> tuple[Ticket, ...]:
        costs = self._scheduler.costs
        return tuple(
            ticket
            for ticket in self._waiting.values()
            if now_ns + costs[ticket.lane].predict_ns(ticket.rows) <= ticket.deadline_ns
        )

    def _end(self, ticket: Ticket, ending: str, now_ns: int) -> None:
        self._waiting.pop(ticket.id, None)
        self.trace.endings[ticket.id].append((ending, now_ns))

    def _at(self, at_ns: int, act: Callable[[int], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (at_ns, self._order, act))


def play(workload: Workload, make: SchedulerFactory = Scheduler, cost: type[CostModel] = CostModel) -> Trace:
    """Play a workload against a fresh scheduler."""
    return World(workload, make, cost).play()
