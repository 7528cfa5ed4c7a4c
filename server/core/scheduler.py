"""The one object the shell holds: earliest deadline first, no wait when an executor is idle.

Rule: state commits with the decision. A ticket that is dispatched, expired or cancelled has left the queue
when the call returns, so no later call can decide about it again.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass

from server.core.admission import Plan, judge
from server.core.cost import CostModel
from server.core.decisions import (
    Admitted,
    Dispatch,
    Idle,
    Lane,
    Rejected,
    Snapshot,
    Step,
    Ticket,
)
from server.errors import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the scheduler.

    Attributes:
        rows_max: most rows of a run; one larger request runs alone.
        requests_max: most requests of a run.
        queue_max: most waiting tickets, as protection of memory; the plan bounds the queue long before.
        margin_ns: time between a run's end and the reply's departure, kept free before each deadline.
    """

    rows_max: int = 512
    requests_max: int = 64
    queue_max: int = 10_000
    margin_ns: int = 1_000_000


class Scheduler:
    """Admission, waiting and batch forming for a fixed number of executors."""

    def __init__(self, limits: Limits, executors: int = 1) -> None:
        self._limits = limits
        self._costs: dict[Lane, CostModel] = {}
        self._plan = Plan(self._costs, limits.rows_max, executors)
        self._waiting: list[Ticket] = []  # by (deadline, id)
        self._latest_starts: list[tuple[int, int, Ticket]] = []  # heap; entries of gone tickets are skipped
        self._waiting_ids: set[int] = set()
        self._waiting_rows: dict[Lane, int] = {}  # their rows by lane, kept so that an offer need not add up
        self._running: list[tuple[Dispatch, int] | None] = [None] * executors

    def add_lane(self, lane: Lane, cost: CostModel) -> None:
        """Make a lane known, with what its warm-up taught."""
        self._costs[lane] = cost
        self._waiting_rows[lane] = 0

    def remove_lane(self, lane: Lane) -> None:
        """Forget a lane that nothing waits for."""
        del self._costs[lane], self._waiting_rows[lane]

    @property
    def costs(self) -> Mapping[Lane, CostModel]:
        """The cost model of each lane, to read."""
        return self._costs

    def offer(self, ticket: Ticket, *, now_ns: int) -> Admitted | Rejected:
        """Admit the ticket into the plan, or say why not."""
        alone_ns = self._costs[ticket.lane].predict_ns(ticket.rows)
        if len(self._waiting) >= self._limits.queue_max:
            return Rejected(Reason.OVERLOADED, self.planned_work_ns(now_ns=now_ns), alone_ns)
        insort(self._waiting, ticket, key=_due)
        self._waiting_rows[ticket.lane] += ticket.rows
        verdict = judge(
            ticket,
            self._waiting,
            self._plan,
            work_ns=self._plan.work_ns(self._waiting_rows),
            now_ns=now_ns,
            free_ns=self._free_ns(now_ns),
            margin_ns=self._limits.margin_ns,
            alone_ns=alone_ns,
        )
        if isinstance(verdict, Rejected):
            self._take_out(ticket)
            self._question(ticket, verdict, now_ns)
            return verdict
        latest_ns = ticket.deadline_ns - alone_ns
        heapq.heappush(self._latest_starts, (latest_ns, ticket.id, ticket))
        self._waiting_ids.add(ticket.id)
        return verdict

    def expire(self, *, now_ns: int) -> tuple[Ticket, ...]:
        """Remove and return the tickets that can no longer finish in time."""
        gone: list[Ticket] = []
        starts = self._latest_starts
        while starts and (starts[0][0] < now_ns or starts[0][1] not in self._waiting_ids):
            _, ticket_id, ticket = heapq.heappop(starts)
            if ticket_id in self._waiting_ids:
                self._waiting_ids.remove(ticket_id)
                self._take_out(ticket)
                gone.append(ticket)
        return tuple(gone)

    def step(self, executor: int, *, now_ns: int) -> Step:
        """Give an idle executor the most urgent batch; Idle if nothing that could still finish waits."""
        assert self._running[executor] is None, "an executor asks for work while it runs"
        at = 0
        while at < len(self._waiting) and self._is_late(self._waiting[at], now_ns):
            at += 1  # left in place: `expire` answers them
        if at == len(self._waiting):
            return Idle()
        return self._dispatch(executor, at, now_ns)

    def next_expiry_ns(self) -> int | None:
        """When the next waiting ticket can no longer finish in time; None if nothing waits."""
        starts = self._latest_starts
        while starts and starts[0][1] not in self._waiting_ids:
            heapq.heappop(starts)
        return starts[0][0] if starts else None

    def complete(self, executor: int, *, run_ns: int | None) -> float | None:
        """The executor's run ended; `run_ns` is None when it failed (a failure teaches nothing).

        Returns:
            actual / predicted of the run, None for a failure.
        """
        running = self._running[executor]
        assert running is not None, "an executor completed a run that was never dispatched"
        self._running[executor] = None
        dispatch, _ = running
        cost = self._costs.get(dispatch.lane)
        if run_ns is None or cost is None:
            return None
        return cost.learn(dispatch.rows, run_ns)

    def cancel(self, ticket: Ticket) -> bool:
        """Take a waiting ticket out; False if it runs already or is gone (its rows stay in the run)."""
        if ticket.id not in self._waiting_ids:
            return False
        self._waiting_ids.remove(ticket.id)
        self._take_out(ticket)
        return True

    def planned_work_ns(self, *, now_ns: int) -> int:
        """Predicted time until everything admitted is done."""
        return self._free_ns(now_ns) - now_ns + self._plan.work_ns(self._waiting_rows)

    def snapshot(self, *, now_ns: int) -> Snapshot:
        """Read the state as numbers."""
        return Snapshot(
            queue_depth=len(self._waiting),
            queue_rows=sum(self._waiting_rows.values()),
            planned_work_ns=self.planned_work_ns(now_ns=now_ns),
            executors_busy=sum(running is not None for running in self._running),
        )

    def _dispatch(self, executor: int, start: int, now_ns: int) -> Dispatch:
        head = self._waiting[start]
        lane = head.lane
        cost = self._costs[lane]
        slack_ns = head.deadline_ns - now_ns
        taken: list[Ticket] = []
        left = self._waiting[:start]
        rows = 0
        for at in range(start, len(self._waiting)):
            ticket = self._waiting[at]
            if ticket.lane != lane:
                left.append(ticket)
                continue
            fits = not taken or (
                rows + ticket.rows <= self._limits.rows_max
                # A fuller run is no excuse for making its tightest member late; the others are due later.
                and cost.predict_ns(rows + ticket.rows) <= slack_ns
            )
            if not fits or len(taken) == self._limits.requests_max:
                left.extend(self._waiting[at:])
                break
            taken.append(ticket)
            rows += ticket.rows
        self._waiting = left
        self._waiting_rows[lane] -= rows
        self._waiting_ids.difference_update(ticket.id for ticket in taken)
        dispatch = Dispatch(executor, lane, tuple(taken), rows, cost.predict_ns(rows))
        self._running[executor] = (dispatch, now_ns)
        return dispatch

    def _question(self, ticket: Ticket, verdict: Rejected, now_ns: int) -> None:
        """Doubt an estimate that refuses, while nothing runs, what the warm-up would have taken."""
        if verdict.reason is not Reason.DEADLINE_TOO_SHORT or self._waiting or any(self._running):
            return
        cost = self._costs[ticket.lane]
        if now_ns + cost.profile_ns(ticket.rows) + self._limits.margin_ns <= ticket.deadline_ns:
            cost.doubt()

    def _free_ns(self, now_ns: int) -> int:
        """When the first executor is predicted to be free; an overdue run is taken to double."""
        free_ns = now_ns
        ends: list[int] = []
        for running in self._running:
            if running is None:
                return now_ns
            dispatch, started_ns = running
            end_ns = started_ns + dispatch.predicted_ns
            if now_ns > end_ns:
                end_ns = now_ns + max(dispatch.predicted_ns // 4, now_ns - end_ns)
            ends.append(end_ns)
        return max(free_ns, min(ends))

    def _is_late(self, ticket: Ticket, now_ns: int) -> bool:
        return now_ns + self._costs[ticket.lane].predict_ns(ticket.rows) > ticket.deadline_ns

    def _take_out(self, ticket: Ticket) -> None:
        at = bisect_left(self._waiting, _due(ticket), key=_due)
        assert self._waiting[at] is ticket or self._waiting[at] == ticket
        del self._waiting[at]
        self._waiting_rows[ticket.lane] -= ticket.rows


def _due(ticket: Ticket) -> tuple[int, int]:
    return ticket.deadline_ns, ticket.id
