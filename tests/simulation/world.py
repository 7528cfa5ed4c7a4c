"""A world on a virtual clock: it obeys the scheduler as the dispatcher does, and writes down what it saw.

The world keeps its own ledger of who waits, runs and has ended, so that what the scheduler says of itself is
never the evidence. Nothing sleeps and nothing reads a clock: the heap's next instant is now.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from server.core.cost import CostModel
from server.core.decisions import Admitted, Dispatch, RunTime, Ticket
from server.core.line import Line
from server.core.scheduler import Limits, Scheduler
from tests.simulation.workload import MS, Script, Workload, draw

TICK_NS = MS
"""The shell's timers come up to a tick late, as uvloop's do."""
SchedulerFactory = Callable[[Limits, int], Scheduler]


class Oracle(CostModel):
    """Knows the true line and has nothing to learn: predicted >= actual, always."""

    def learn(self, requests: int, rows: int, run: RunTime, now_ns: int, *, probe: bool = False) -> float:
        return run.wall_ns / self.predict_ns(requests, rows)

    def heal(self, now_ns: int) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Start:
    """One dispatch, with what an onlooker knew at that instant."""

    now_ns: int
    dispatch: Dispatch
    waiting: tuple[Ticket, ...]
    """Who waited, untouched, before it."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One verdict, with what an onlooker knew at that instant."""

    now_ns: int
    ticket: Ticket
    admitted: bool
    displaced: tuple[Ticket, ...]
    parts: int
    waiting: tuple[Ticket, ...]
    """Who waited, untouched, before it."""
    idle: bool
    """An executor was free, and nothing waited."""


@dataclass(slots=True)
class Trace:
    """All that happened, in order.

    Attributes:
        log: every event and decision, for the hash.
        endings: per ticket what it was told, when; exactly one entry each, if the scheduler is right.
        idled: instants at which an executor idled beside a ticket that it could have finished.
        overplanned: instants at which, just after an admission, planned work outlasted every deadline;
            and by how much what was admitted before may since be predicted to take longer, where it may.
        unlearned: failed runs after which the lane's prediction differed.
        cancels: (what the scheduler said, whether the ledger had something of the ticket waiting).
        covered: per ticket the rows that were dispatched, in order of dispatch.
        ratios: actual / predicted of each finished run.
        late_shares: of each finished run, the share of its requests told late, or expired since the last.
        unreported: executors in runs of ten times their predicted time that `stuck` did not name.
        planned_ns_at_end: what was planned once everything had ended.
    """

    workload: Workload
    log: list[tuple[Any, ...]] = field(default_factory=list)
    admitted: dict[int, Ticket] = field(default_factory=dict)
    endings: defaultdict[int, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    offers: list[Offer] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    idled: list[int] = field(default_factory=list)
    overplanned: list[int] = field(default_factory=list)
    unlearned: list[int] = field(default_factory=list)
    cancels: list[tuple[bool, bool]] = field(default_factory=list)
    covered: defaultdict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    ratios: list[float] = field(default_factory=list)
    late_shares: list[float] = field(default_factory=list)
    unreported: list[int] = field(default_factory=list)
    planned_ns_at_end: int = 0
    ended_ns: int = 0

    def digest(self) -> str:
        """Hash of the decision log: the same seed gives the same digest, everywhere."""
        return hashlib.sha256(repr(self.log).encode()).hexdigest()

    def ended(self, ending: str) -> list[tuple[int, int]]:
        """(ticket id, instant) of everyone who ended so."""
        return [(n, at) for n, told in self.endings.items() for what, at in told if what == ending]

    def broken(self) -> set[int]:
        """Who was admitted, not as a probe, and was late or had to be given up."""
        late = {n for n, at_ns in self.ended("answered") if at_ns > self.admitted[n].deadline_ns}
        probes = {
            part.ticket.id for start in self.starts if start.dispatch.probe for part in start.dispatch.parts
        }
        return (late | {n for n, _ in self.ended("expired")}) - probes

    def in_time(self) -> list[Ticket]:
        """Who was answered by the deadline."""
        return [
            self.admitted[ticket_id]
            for ticket_id, at_ns in self.ended("answered")
            if at_ns <= self.admitted[ticket_id].deadline_ns
        ]


class World:
    """Plays one script against one scheduler."""

    def __init__(self, workload: Workload, make: SchedulerFactory, cost: type[CostModel]) -> None:
        limits = Limits(
            rows_max=workload.rows_max, requests_max=workload.requests_max, margin_ns=workload.margin_ns
        )
        self.trace = Trace(workload)
        self._workload = workload
        self._script: Script = draw(workload)
        self._knows = cost is Oracle
        self._scheduler = make(limits, workload.executors)
        for lane in self._script.lanes:
            ratios = workload.oracle_ratios if cost is Oracle else (1.2, 1.2, 1.2)
            line = Line(workload.overhead_ns, 0.0, workload.row_ns, per_request=False)
            self._scheduler.add_lane(
                lane, cost(line, list(ratios)), budget_ns=min(workload.budgets_ns), chunk_ns=workload.chunk_ns
            )
        self._waiting: dict[int, Ticket] = {}  # nothing of it has been dispatched
        self._parts_to_go: Counter[int] = Counter()
        self._parts_to_end: Counter[int] = Counter()
        self._over: set[int] = set()  # ended while parts of it ran or waited
        self._missed = 0
        self._running: dict[int, tuple[Dispatch, int]] = {}
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = 0
        self._runs = iter(self._script.runs)
        self._timer_ns: int | None = None
        self._probes: set[int] = set()

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
        self.trace.planned_ns_at_end = self._scheduler.snapshot(now_ns=now_ns).planned_work_ns
        return self.trace

    def _settle(self, now_ns: int) -> None:
        """The end of an instant: whoever idles asks for work, and the timer is set."""
        for executor in range(self._workload.executors):
            if executor not in self._running:
                self._pull(executor, now_ns)
        if len(self._running) < self._workload.executors and self._startable(now_ns):
            self.trace.idled.append(now_ns)
        at_ns = self._scheduler.next_expiry_ns()
        if at_ns is not None and (self._timer_ns is None or at_ns + TICK_NS < self._timer_ns):
            self._timer_ns = max(at_ns, now_ns) + TICK_NS
            self._at(self._timer_ns, self._expire)

    def _arrive(self, ticket: Ticket, now_ns: int) -> None:
        before = tuple(self._waiting.values())
        idle = len(self._running) < self._workload.executors and not any(self._parts_to_go.values())
        scheduler = self._scheduler
        verdict = scheduler.look(ticket, now_ns=now_ns) or scheduler.offer(ticket, now_ns=now_ns)
        self.trace.log.append((now_ns, "offer", ticket.id, verdict))
        if not isinstance(verdict, Admitted):
            self.trace.offers.append(Offer(now_ns, ticket, False, (), 0, before, idle))
            self._end(ticket, "rejected", now_ns)
            return
        self.trace.offers.append(Offer(now_ns, ticket, True, verdict.displaced, verdict.parts, before, idle))
        for victim in verdict.displaced:
            self._give_up(victim, "displaced", now_ns)
        self.trace.admitted[ticket.id] = ticket
        self._waiting[ticket.id] = ticket
        self._parts_to_go[ticket.id] = self._parts_to_end[ticket.id] = verdict.parts
        last_ns = max(
            self.trace.admitted[ticket_id].deadline_ns
            for ticket_id, left in self._parts_to_go.items()
            if left
        )
        cost = self._scheduler.terms[ticket.lane].cost
        if now_ns + cost.predict_ns(1, ticket.rows) > ticket.deadline_ns and verdict.parts == 1:
            self._probes.add(ticket.id)
        if any(self._parts_to_go[ticket_id] for ticket_id in self._probes):
            return  # a probe is predicted to end late, that is what it is
        planned_ns = self._scheduler.snapshot(now_ns=now_ns).planned_work_ns
        grown = 1.0 if self._workload.calm() == self._workload else 1.5 * self._workload.drift
        if planned_ns > grown * (last_ns - now_ns):
            self.trace.overplanned.append(now_ns)

    def _leave(self, ticket: Ticket, now_ns: int) -> None:
        taken_out = self._scheduler.cancel(ticket)
        self.trace.log.append((now_ns, "cancel", ticket.id, taken_out))
        self.trace.cancels.append((taken_out, self._parts_to_go[ticket.id] > 0))
        if taken_out:
            self._give_up(ticket, "cancelled", now_ns)

    def _expire(self, now_ns: int) -> None:
        self._timer_ns = None
        self._watch(now_ns)
        for ticket in self._scheduler.expire(now_ns=now_ns):
            self.trace.log.append((now_ns, "expire", ticket.id))
            self._missed += 1
            self._give_up(ticket, "expired", now_ns)

    def _watch(self, now_ns: int) -> None:
        named = {entry.executor for entry in self._scheduler.stuck(now_ns=now_ns)}
        for executor, (dispatch, started_ns) in self._running.items():
            if now_ns - started_ns > max(10 * dispatch.predicted_ns, 100 * MS) and executor not in named:
                self.trace.unreported.append(executor)

    def _pull(self, executor: int, now_ns: int) -> None:
        step = self._scheduler.step(executor, now_ns=now_ns)
        for ticket in step.given_up:
            self.trace.log.append((now_ns, "give up", ticket.id))
            self._missed += 1
            self._give_up(ticket, "expired", now_ns)
        if not isinstance(step, Dispatch):
            return
        parts = [(part.ticket.id, part.start, part.rows) for part in step.parts]
        self.trace.log.append((now_ns, "start", executor, parts))
        self.trace.starts.append(Start(now_ns, step, tuple(self._waiting.values())))
        self._running[executor] = (step, now_ns)
        for part in step.parts:
            self._waiting.pop(part.ticket.id, None)
            self._parts_to_go[part.ticket.id] -= 1
            self.trace.covered[part.ticket.id].append((part.start, part.rows))
        run = next(self._runs)
        factor = run.factor * (self._workload.drift if now_ns > self._script.drifts_ns else 1.0)
        line_ns = step.predicted_ns if self._knows else self._workload.line_ns(step.rows)
        took_ns = max(int(line_ns * factor) + run.stall_ns, 1)
        self._at(now_ns + took_ns, lambda at_ns: self._complete(executor, run.fails, took_ns, at_ns))

    def _complete(self, executor: int, fails: bool, took_ns: int, now_ns: int) -> None:
        dispatch, _ = self._running.pop(executor)
        cost = self._scheduler.terms[dispatch.lane].cost
        before_ns = cost.predict_ns(1, 100)
        ratio = self._scheduler.complete(executor, None if fails else RunTime(took_ns), now_ns=now_ns)
        self.trace.log.append((now_ns, "end", executor, fails))
        if fails and cost.predict_ns(1, 100) != before_ns:
            self.trace.unlearned.append(now_ns)
        late = 0
        for part in dispatch.parts:
            late += part.ticket.deadline_ns < now_ns
            self._part_ended(part.ticket, fails, now_ns)
        if ratio is not None:
            self.trace.ratios.append(ratio)
            missed, self._missed = self._missed, 0
            requests = len(dispatch.parts) + missed
            self.trace.late_shares.append((late + missed) / requests)
            self._scheduler.answered(dispatch.lane, late=late + missed, requests=requests)

    def _part_ended(self, ticket: Ticket, fails: bool, now_ns: int) -> None:
        self._parts_to_end[ticket.id] -= 1
        if ticket.id in self._over:
            return
        if fails:
            if self._parts_to_go[ticket.id] > 0:
                self._scheduler.cancel(ticket)
            self._give_up(ticket, "failed", now_ns)
        elif self._parts_to_end[ticket.id] == 0:
            self._end(ticket, "answered", now_ns)

    def _give_up(self, ticket: Ticket, ending: str, now_ns: int) -> None:
        """It ends, and what still runs of it is nobody's; nothing may be running of it alone."""
        if self._parts_to_go[ticket.id] > 0 or ending == "failed":
            self._over.add(ticket.id)
        self._parts_to_go[ticket.id] = 0
        self._end(ticket, ending, now_ns)

    def _startable(self, now_ns: int) -> tuple[Ticket, ...]:
        terms = self._scheduler.terms
        return tuple(
            ticket
            for ticket in self._waiting.values()
            if now_ns + terms[ticket.lane].cost.predict_ns(1, ticket.rows) <= ticket.deadline_ns
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
