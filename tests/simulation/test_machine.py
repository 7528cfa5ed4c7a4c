"""The scheduler's API in any order: Hypothesis finds the sequence, and shrinks it, if there is one."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.core.cost import CostModel
from server.core.decisions import Admitted, Dispatch, Lane, Rejected, RunTime, Ticket
from server.core.line import Line
from server.core.scheduler import Limits, Scheduler
from server.errors import Reason
from tests.simulation.workload import MS

LANES = (Lane("a", 1, "int8"), Lane("a", 1, "fp32"))


class SchedulerMachine(RuleBasedStateMachine):
    """Calls the scheduler in any order and keeps its own books."""

    @initialize(
        executors=st.integers(1, 3),
        queue_max=st.sampled_from([3, 10_000]),
        chunk_ns=st.sampled_from([None, 2 * MS]),
    )
    def start(self, executors: int, queue_max: int, chunk_ns: int | None) -> None:
        self.limits = Limits(rows_max=200, requests_max=4, queue_max=queue_max, margin_ns=MS)
        self.scheduler = Scheduler(self.limits, executors)
        for lane in LANES:
            line = Line(MS, 0.0, 10_000, per_request=False)
            self.scheduler.add_lane(lane, CostModel(line), budget_ns=25 * MS, chunk_ns=chunk_ns)
        self.now_ns = 0
        self.tickets: list[Ticket] = []
        self.parts_left: dict[int, int] = {}
        self.waiting: dict[int, Ticket] = {}
        self.running: dict[int, Dispatch] = {}
        self.executors = executors

    @rule(
        lane=st.sampled_from(LANES),
        rows=st.integers(1, 900),
        budget_ns=st.integers(0, 40 * MS),
        importance=st.integers(1, 3),
    )
    def offer(self, lane: Lane, rows: int, budget_ns: int, importance: int) -> None:
        deadline_ns = self.now_ns + budget_ns
        ticket = Ticket(len(self.tickets) + 1, lane, rows, self.now_ns, deadline_ns, importance)
        self.tickets.append(ticket)
        verdict = self.scheduler.offer(ticket, now_ns=self.now_ns)
        if isinstance(verdict, Admitted):
            for victim in verdict.displaced:
                assert victim.importance > importance
                self._leaves(victim)
            assert len(self.waiting) < self.limits.queue_max
            self.waiting[ticket.id] = ticket
            self.parts_left[ticket.id] = verdict.parts
        else:
            self._judge_refusal(verdict)

    def _judge_refusal(self, verdict: Rejected) -> None:
        assert verdict.reason in (Reason.DEADLINE_TOO_SHORT, Reason.OVERLOADED)
        if verdict.reason is Reason.DEADLINE_TOO_SHORT:
            assert verdict.retry_after_ns is None
        else:
            assert verdict.retry_after_ns is not None
            assert verdict.retry_after_ns > 0
        assert verdict.minimum_ns > 0

    @rule(executor=st.integers(0, 2))
    def step(self, executor: int) -> None:
        if executor >= self.executors or executor in self.running:
            return
        waited = bool(self.waiting)
        step = self.scheduler.step(executor, now_ns=self.now_ns)
        for ticket in step.given_up:
            self._leaves(ticket)
        if isinstance(step, Dispatch):
            self._judge_dispatch(step)
            self.running[executor] = step
        else:
            assert not self.waiting
            assert waited == bool(step.given_up)

    def _judge_dispatch(self, step: Dispatch) -> None:
        tightest_ns = min(part.ticket.deadline_ns for part in step.parts)
        assert step.probe or self.now_ns + step.predicted_ns <= tightest_ns
        assert {step.lane} == {part.ticket.lane for part in step.parts}
        assert step.rows == sum(part.rows for part in step.parts)
        assert step.rows <= self.limits.rows_max or len(step.parts) == 1
        assert len(step.parts) <= self.limits.requests_max
        assert len({part.ticket.id for part in step.parts}) == len(step.parts)
        for part in step.parts:
            assert self.waiting[part.ticket.id] is part.ticket
            self.parts_left[part.ticket.id] -= 1
            if not self.parts_left[part.ticket.id]:
                del self.waiting[part.ticket.id]

    @precondition(lambda self: self.running)
    @rule(data=st.data(), stretch=st.sampled_from([0.5, 1.0, 1.5, 50.0]), fails=st.booleans())
    def complete(self, data: st.DataObject, stretch: float, fails: bool) -> None:
        executor = data.draw(st.sampled_from(sorted(self.running)))
        dispatch = self.running.pop(executor)
        run_ns = int(dispatch.predicted_ns * stretch)
        self.now_ns += run_ns
        run = None if fails else RunTime(run_ns, run_ns // 2)
        ratio = self.scheduler.complete(executor, run, now_ns=self.now_ns)
        assert (ratio is None) == fails
        late = sum(part.ticket.deadline_ns < self.now_ns for part in dispatch.parts)
        self.scheduler.answered(dispatch.lane, late=late, requests=len(dispatch.parts))

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.tickets))
        assert self.scheduler.cancel(ticket) == (self.waiting.pop(ticket.id, None) is not None)

    @rule()
    def expire(self) -> None:
        at_ns = self.scheduler.next_expiry_ns()
        assert (at_ns is not None) == bool(self.waiting)
        for ticket in self.scheduler.expire(now_ns=self.now_ns):
            self._leaves(ticket)
        left_ns = self.scheduler.next_expiry_ns()
        assert left_ns is None or left_ns >= self.now_ns

    @rule(passes_ns=st.integers(1, 30 * MS))
    def time_passes(self, passes_ns: int) -> None:
        self.now_ns += passes_ns

    @rule()
    def a_long_silence(self) -> None:
        self.now_ns += 20_000 * MS

    @invariant()
    def books_agree(self) -> None:
        if hasattr(self, "scheduler"):
            snapshot = self.scheduler.snapshot(now_ns=self.now_ns)
            assert len(self.waiting) == snapshot.queue_depth
            assert len(self.running) == snapshot.executors_busy
            assert (snapshot.queue_rows == 0) == (not self.waiting)
            idle = len(self.running) < self.executors
            assert (snapshot.planned_work_ns == 0) == (idle and not self.waiting)
            named = {entry.executor for entry in self.scheduler.stuck(now_ns=self.now_ns)}
            assert named <= self.running.keys()

    def _leaves(self, ticket: Ticket) -> None:
        assert self.waiting.pop(ticket.id) is ticket


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True
)
