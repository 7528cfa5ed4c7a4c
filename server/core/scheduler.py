"""Scheduler v1: every ticket has a place in a plan that is kept, or is refused at once.

Rule: state commits with the decision. A ticket that is dispatched, expired, displaced or cancelled has left
the queue when the call returns, so no later call can decide about it again.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
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
from server.core.displace import displace
from server.core.executors import Executors
from server.core.margin import Margin
from server.core.parts import parts_of
from server.core.plan import Plan
from server.core.planned_run import PlannedRun, Terms
from server.core.pressure import Pressure
from server.core.shed import shed
from server.errors import Reason

WHOLE = Admitted()
"""What most are told."""
CROWDED_NS = 100_000_000
"""So long after a refusal for want of room there is an overload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the scheduler.

    Attributes:
        rows_max: most rows of a run; one larger request runs alone.
        requests_max: most requests of a run.
        queue_max: most waiting tickets, as protection of memory; the plan bounds the queue long before.
        margin_ns: least time kept free between a run's end and each deadline in it; more is learned.
    """

    rows_max: int = 512
    requests_max: int = 64
    queue_max: int = 10_000
    margin_ns: int = 1_000_000


class Scheduler:
    """Admission, waiting and batch forming for a fixed number of executors."""

    def __init__(self, limits: Limits, executors: int = 1) -> None:
        self._limits = limits
        self._terms: dict[Lane, Terms] = {}
        self._plan = Plan(limits.rows_max, limits.requests_max)
        self._waiting: dict[int, Ticket] = {}  # tickets of which some part has not been dispatched
        self._parts_left: dict[int, int] = {}  # of those that are split
        self._begun: set[int] = set()  # split tickets of which a part has been dispatched
        self._latest_starts: list[tuple[int, int]] = []  # heap of (ns, id); ids of gone tickets are skipped
        self._executors = Executors(executors)
        self._pressure = Pressure(executors)
        self._crowded_until_ns = 0
        self._probes = 0

    def add_lane(
        self, lane: Lane, cost: CostModel, *, budget_ns: int = 25_000_000, chunk_ns: int | None = None
    ) -> None:
        """Make a lane known.

        Args:
            cost: what its warm-up taught.
            budget_ns: what the margin is a share of.
            chunk_ns: requests whose run would be longer are split; None = they cannot be.
        """
        self._terms[lane] = Terms(cost, Margin(budget_ns, self._limits.margin_ns), chunk_ns)

    def remove_lane(self, lane: Lane) -> None:
        """Forget a lane that nothing waits for."""
        del self._terms[lane]

    @property
    def terms(self) -> Mapping[Lane, Terms]:
        """Cost model and margin of each lane, to read."""
        return self._terms

    def look(self, ticket: Ticket, *, now_ns: int) -> Rejected | None:
        """Foresee in an overload that `offer` will refuse for want of room; None = offer it.

        It costs as much as an offer, so that it pays where most are refused and reading a request costs more.
        Of a ticket whose tokens are not known yet it takes every row for one: it refuses too few that way.
        """
        if now_ns >= self._crowded_until_ns or not self._plan.runs:
            return None
        if any(other.importance > ticket.importance for other in self._waiting.values()):
            return None  # it may displace somebody
        terms = self._terms[ticket.lane]
        parts = parts_of(ticket, terms)
        parts_ns = [terms.cost.predict_ns(1, part.load) for part in parts]
        alone_ns, margin_ns = sum(parts_ns), terms.margin.ns
        if now_ns + self._soonest_ns(parts_ns) + margin_ns > ticket.deadline_ns:
            return None  # it may be hopeless, or a probe
        free = self._executors.free_ns(now_ns)
        self._plan.crowded = True
        if self._plan.place(parts, terms, free, margin_ns):
            self._plan.remove(ticket)
            return None
        self._pressure.add(alone_ns, now_ns)
        return self._too_busy(ticket, terms, alone_ns + margin_ns, free, now_ns)

    def offer(self, ticket: Ticket, *, now_ns: int) -> Admitted | Rejected:
        """Admit the ticket into the plan, or say why not."""
        terms = self._terms[ticket.lane]
        terms.cost.heal(now_ns)
        terms.margin.heal(now_ns)
        parts = parts_of(ticket, terms)
        parts_ns = [terms.cost.predict_ns(1, part.load) for part in parts]
        alone_ns, margin_ns = sum(parts_ns), terms.margin.ns
        self._pressure.add(alone_ns, now_ns)
        free = self._executors.free_ns(now_ns)
        soonest_ns = self._soonest_ns(parts_ns)
        if not self._plan.runs and len(parts) == 1 and free[0] + alone_ns + margin_ns <= ticket.deadline_ns:
            self._plan.runs.append(PlannedRun(terms, parts[0], margin_ns))  # the first has nobody in its way
            self._enter(ticket, ticket.deadline_ns - alone_ns)
            return WHOLE
        if now_ns + soonest_ns + margin_ns > ticket.deadline_ns:
            admitted = self._probe(ticket, terms, now_ns)
            if admitted is not None:
                return admitted
            # Were the machine ours alone: what neighbours and our own refusals take from it passes.
            least_ns = self._soonest_ns([terms.cost.alone_ns(1, part.load) for part in parts])
            if now_ns + least_ns + self._limits.margin_ns > ticket.deadline_ns:
                return Rejected(Reason.DEADLINE_TOO_SHORT, None, least_ns + self._limits.margin_ns)
            return self._too_busy(ticket, terms, alone_ns + margin_ns, free, now_ns)
        if len(self._waiting) >= self._limits.queue_max:
            return self._too_busy(ticket, terms, alone_ns + margin_ns, free, now_ns)
        displaced: tuple[Ticket, ...] = ()
        self._plan.crowded = now_ns < self._crowded_until_ns
        if not self._plan.place(parts, terms, free, margin_ns):
            found = self._displace(ticket, parts, terms, free)
            if found is None:
                return self._too_busy(ticket, terms, alone_ns + margin_ns, free, now_ns)
            displaced = found
        if len(parts) > 1:
            self._parts_left[ticket.id] = len(parts)
        self._enter(ticket, ticket.deadline_ns - soonest_ns)
        return Admitted(len(parts), displaced) if displaced or len(parts) > 1 else WHOLE

    def expire(self, *, now_ns: int) -> tuple[Ticket, ...]:
        """Remove and return the tickets that can no longer finish in time."""
        gone: list[Ticket] = []
        starts = self._latest_starts
        while starts and (starts[0][0] < now_ns or starts[0][1] not in self._waiting):
            _, ticket_id = heapq.heappop(starts)
            ticket = self._waiting.get(ticket_id)
            if ticket is None:
                continue
            latest_ns = ticket.deadline_ns - self._left_ns(ticket)
            if latest_ns >= now_ns:  # some of its parts have run, or the model has learned
                heapq.heappush(starts, (latest_ns, ticket_id))
                continue
            self._plan.remove(ticket)
            self._leave(ticket)
            gone.append(ticket)
        return tuple(gone)

    def step(self, executor: int, *, now_ns: int) -> Step:
        """Give an idle executor the most urgent run; Idle if nothing that could still finish waits."""
        free = self._executors.free_ns(now_ns)
        given_up: tuple[Ticket, ...] = ()
        if self._plan.late(free):
            given_up = tuple(shed(self._plan, free, now_ns))
            for ticket in given_up:
                self._leave(ticket)
        if not self._plan.runs:
            return Idle(given_up=given_up)
        run = self._plan.next(free, now_ns)
        if run.probe:
            run.terms.cost.begin_probe(now_ns)
            self._probes += 1
        alone_ns = run.terms.cost.alone_ns(len(run.parts), run.load)
        dispatch = Dispatch(
            executor, run.lane, tuple(run.parts), run.rows, run.time_ns, alone_ns, run.probe, given_up
        )
        self._executors.begin(executor, dispatch, now_ns)
        for part in run.parts:
            self._start(part.ticket)
        return dispatch

    def next_expiry_ns(self) -> int | None:
        """When the next waiting ticket can no longer finish in time; None if nothing waits."""
        starts = self._latest_starts
        while starts and starts[0][1] not in self._waiting:
            heapq.heappop(starts)
        return starts[0][0] if starts else None

    def complete(self, executor: int, run: RunTime | None, *, now_ns: int) -> float | None:
        """The executor's run ended; `run` is None when it failed (a failure teaches nothing).

        Returns:
            actual / predicted of the run, None for a failure.
        """
        dispatch = self._executors.end(executor)
        terms = self._terms.get(dispatch.lane)
        if run is None or terms is None:  # failed, or the lane is gone
            return None
        cost, load = terms.cost, sum(part.load for part in dispatch.parts)
        ratio = cost.learn(len(dispatch.parts), load, run, now_ns, probe=dispatch.probe)
        if dispatch.probe:
            cost.end_probe(in_time=now_ns <= dispatch.parts[0].ticket.deadline_ns)
        else:
            terms.margin.fed(now_ns)
        self._plan.reprice()
        return ratio

    def answered(self, lane: Lane, *, late: int, requests: int) -> None:
        """A run's requests have been told: so many of them after their deadline."""
        if lane in self._terms:
            self._terms[lane].margin.learn(late, requests)

    def cancel(self, ticket: Ticket) -> bool:
        """Take a ticket out; False if it no longer waits (what runs of it goes on)."""
        if ticket.id not in self._waiting:
            return False
        self._plan.remove(ticket)
        self._leave(ticket)
        return True

    def stuck(self, *, now_ns: int) -> tuple[Stuck, ...]:
        """Runs that are overdue by so much that they have to be taken for lost."""
        return self._executors.stuck(now_ns)

    def planned_work_ns(self, *, now_ns: int) -> int:
        """Predicted time until everything admitted is done."""
        free = self._executors.free_ns(now_ns)
        return free[0] - now_ns + self._plan.work_ns() // len(free)

    def snapshot(self, *, now_ns: int) -> Snapshot:
        """Read the state as numbers."""
        return Snapshot(
            queue_depth=len(self._waiting),
            queue_rows=sum(run.rows for run in self._plan.runs),
            planned_work_ns=self.planned_work_ns(now_ns=now_ns),
            executors_busy=self._executors.busy(),
            executors_stuck=len(self._executors.stuck(now_ns)),
            probes=self._probes,
        )

    def _soonest_ns(self, parts_ns: Sequence[int]) -> int:
        """Least time of parts of nearly equal length that have all executors to themselves."""
        executors = len(self._executors)
        return sum(parts_ns) if executors == 1 else min(parts_ns, default=0) * -(-len(parts_ns) // executors)

    def _enter(self, ticket: Ticket, latest_ns: int) -> None:
        self._waiting[ticket.id] = ticket
        heapq.heappush(self._latest_starts, (latest_ns, ticket.id))

    def _leave(self, ticket: Ticket) -> None:
        del self._waiting[ticket.id]
        if self._parts_left.pop(ticket.id, None) is not None:
            self._begun.discard(ticket.id)

    def _start(self, ticket: Ticket) -> None:
        left = self._parts_left.get(ticket.id, 1) - 1
        if left:
            self._parts_left[ticket.id] = left
            self._begun.add(ticket.id)
        else:
            self._leave(ticket)

    def _probe(self, ticket: Ticket, terms: Terms, now_ns: int) -> Admitted | None:
        """Admit what the model says is hopeless, if the warm-up disagrees, nothing else goes on, and the
        last such try is long enough ago: only a run can heal an estimate that admits none."""
        cost = terms.cost
        if self._waiting or self._executors.busy() or not cost.may_probe(now_ns):
            return None
        load = ticket.load
        profile_ns = cost.profile_ns(1, load)
        if now_ns + profile_ns + self._limits.margin_ns > ticket.deadline_ns:
            return None
        part = Part(ticket, 0, ticket.rows, load)
        self._plan.runs.append(PlannedRun(terms, part, terms.margin.ns, probe=True))
        self._enter(ticket, ticket.deadline_ns - profile_ns)
        return Admitted()

    def _too_busy(
        self, ticket: Ticket, terms: Terms, needs_ns: int, free: Sequence[int], now_ns: int
    ) -> Rejected:
        """Room comes when the plan has shrunk by what this ticket lacked; later, the more others want it."""
        self._crowded_until_ns = now_ns + CROWDED_NS
        end_ns = free[0] + self._plan.work_ns() // len(free)
        budget_ns = ticket.deadline_ns - ticket.arrival_ns
        wait_ns = max(end_ns + needs_ns - (now_ns + budget_ns), 1_000_000)
        spread = 1.0 + (ticket.id * 2_654_435_761 % 65_536) / 65_536  # Knuth's hash: U(1, 2), repeatable
        wait_ns = int(wait_ns * spread * max(self._pressure.ratio(now_ns), 1.0))
        row_ns = terms.cost.line.row_ns * terms.cost.stretch / len(free) * ticket.load / ticket.rows
        rows_per_s = 1e9 / row_ns if row_ns else 0.0
        return Rejected(Reason.OVERLOADED, wait_ns, needs_ns, end_ns - now_ns, rows_per_s)

    def _displace(
        self, ticket: Ticket, parts: Sequence[Part], terms: Terms, free: Sequence[int]
    ) -> tuple[Ticket, ...] | None:
        """Make room at the cost of less important tickets of which nothing has run; None if that fails."""
        lesser = [
            other
            for other in self._waiting.values()
            if other.importance > ticket.importance and other.id not in self._begun
        ]
        found = displace(self._plan, lesser, parts, terms, free)
        if found is None:
            return None
        self._plan, gone = found
        for victim in gone:
            self._leave(victim)
        return tuple(gone)

    def _left_ns(self, ticket: Ticket) -> int:
        """Predicted time of what has not run of a ticket."""
        parts_ns = []
        for run in self._plan.runs:
            for part in run.parts:
                if part.ticket.id == ticket.id:
                    cost = run.terms.cost
                    parts_ns.append(
                        cost.profile_ns(1, part.load) if run.probe else cost.predict_ns(1, part.load)
                    )
        return self._soonest_ns(parts_ns)
