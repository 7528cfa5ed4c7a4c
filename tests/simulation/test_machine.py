"""The scheduler's API in any order: Hypothesis finds the sequence, and shrinks it, if there is one."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.core.cost import CostModel
from server.core.decisions import Admitted, Dispatch, Lane, Rejected, Ticket
from server.core.scheduler import Limits, Scheduler
from server.errors import Reason
from tests.simulation.workload import MS

LANES = (Lane("a", 1, "int8"), Lane("a", 1, "fp32"))


class SchedulerMachine(RuleBasedStateMachine):
    """Calls the scheduler in any order and keeps its own books."""

    @initialize(executors=st.integers(1, 2), queue_max=st.sampled_from([3, 10_000]))
    def start(self, executors: int, queue_max: int) -> None:
        self.limits = Limits(rows_max=200, requests_max=4, queue_max=queue_max, margin_ns=MS)
        self.scheduler = Scheduler(self.limits, executors)
        for lane in LANES:
            self.scheduler.add_lane(lane, CostModel(MS, 10_000))
        self.now_ns = 0
        self.tickets: list[Ticket] = []
        self.waiting: dict[int, Ticket] = {}
        self.running: dict[int, Dispatch] = {}
        self.executors = executors

    @rule(lane=st.sampled_from(LANES), rows=st.integers(1, 300), budget_ns=st.integers(0, 40 * MS))
    def offer(self, lane: Lane, rows: int, budget_ns: int) -> None:
        ticket = Ticket(len(self.tickets) + 1, lane, rows, self.now_ns, self.now_ns + budget_ns)
        self.tickets.append(ticket)
        alone_ns = self._predict_ns(ticket)
        verdict = self.scheduler.offer(ticket, now_ns=self.now_ns)
        if isinstance(verdict, Admitted):
            assert len(self.waiting) < self.limits.queue_max
            assert self.now_ns + alone_ns + MS <= ticket.deadline_ns
            self.waiting[ticket.id] = ticket
        else:
            self._judge_refusal(ticket, verdict, alone_ns)

    def _judge_refusal(self, ticket: Ticket, verdict: Rejected, alone_ns: int) -> None:
        hopeless = self.now_ns + alone_ns + MS > ticket.deadline_ns
        full = len(self.waiting) == self.limits.queue_max
        expected = Reason.DEADLINE_TOO_SHORT if hopeless and not full else Reason.OVERLOADED
        assert expected == verdict.reason
        assert (verdict.retry_after_ns is None) == (expected is Reason.DEADLINE_TOO_SHORT)

    @rule(executor=st.integers(0, 1))
    def step(self, executor: int) -> None:
        if executor >= self.executors or executor in self.running:
            return
        startable = [
            ticket
            for ticket in self.waiting.values()
            if self.now_ns + self._predict_ns(ticket) <= ticket.deadline_ns
        ]
        step = self.scheduler.step(executor, now_ns=self.now_ns)
        assert isinstance(step, Dispatch) == bool(startable)
        if isinstance(step, Dispatch):
            assert all(self.waiting.pop(ticket.id) is ticket for ticket in step.tickets)
            assert min(ticket.deadline_ns for ticket in startable) == step.tickets[0].deadline_ns
            assert self.now_ns + step.predicted_ns <= step.tickets[0].deadline_ns
            assert list(step.tickets) == sorted(step.tickets, key=lambda t: (t.deadline_ns, t.id))
            assert {step.lane} == {ticket.lane for ticket in step.tickets}
            assert step.rows == sum(ticket.rows for ticket in step.tickets)
            assert step.rows <= self.limits.rows_max or len(step.tickets) == 1
            assert len(step.tickets) <= self.limits.requests_max
            self.running[executor] = step

    @precondition(lambda self: self.running)
    @rule(data=st.data(), stretch=st.sampled_from([0.5, 1.0, 1.5, 50.0]), fails=st.booleans())
    def complete(self, data: st.DataObject, stretch: float, fails: bool) -> None:
        executor = data.draw(st.sampled_from(sorted(self.running)))
        dispatch = self.running.pop(executor)
        run_ns = int(dispatch.predicted_ns * stretch)
        self.now_ns += run_ns
        ratio = self.scheduler.complete(executor, run_ns=None if fails else run_ns)
        assert (ratio is None) == fails

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.tickets))
        waited = self.waiting.pop(ticket.id, None) is not None
        assert waited == self.scheduler.cancel(ticket)

    @rule()
    def expire(self) -> None:
        at_ns = self.scheduler.next_expiry_ns()
        assert (at_ns is not None) == bool(self.waiting)
        gone = self.scheduler.expire(now_ns=self.now_ns)
        assert all(self.waiting.pop(ticket.id) is ticket for ticket in gone)
        left_ns = self.scheduler.next_expiry_ns()
        assert left_ns is None or left_ns >= self.now_ns

    @rule(passes_ns=st.integers(1, 30 * MS))
    def time_passes(self, passes_ns: int) -> None:
        self.now_ns += passes_ns

    @invariant()
    def books_agree(self) -> None:
        if hasattr(self, "scheduler"):
            snapshot = self.scheduler.snapshot(now_ns=self.now_ns)
            assert len(self.waiting) == snapshot.queue_depth
            assert sum(ticket.rows for ticket in self.waiting.values()) == snapshot.queue_rows
            assert len(self.running) == snapshot.executors_busy
            idle = len(self.running) < self.executors
            assert (snapshot.planned_work_ns == 0) == (idle and not self.waiting)

    def _predict_ns(self, ticket: Ticket) -> int:
        return self.scheduler.costs[ticket.lane].predict_ns(ticket.rows)


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True
)
