"""The scheduler: order, limits, expiry, cancellation, and that state commits with the decision."""

from __future__ import annotations

import pytest

from server.core.cost import CostModel
from server.core.decisions import Admitted, Dispatch, Idle, Lane, Rejected, Snapshot, Ticket
from server.core.scheduler import Limits, Scheduler
from server.errors import Reason

MS = 1_000_000
INT8, FP32 = Lane("a", 1, "int8"), Lane("a", 1, "fp32")


def scheduler(executors: int = 1, **limits: int) -> Scheduler:
    """One executor, no margin; a run takes 1 ms + 10 µs a row on `INT8`, twice that on `FP32`."""
    made = Scheduler(Limits(**({"margin_ns": 0} | limits)), executors)
    made.add_lane(INT8, CostModel(MS, 10_000, 1.0))
    made.add_lane(FP32, CostModel(2 * MS, 20_000, 1.0))
    return made


def ticket(n: int, due_ms: float, rows: int = 100, lane: Lane = INT8) -> Ticket:
    return Ticket(n, lane, rows, 0, int(due_ms * MS))


def admit(to: Scheduler, *tickets: Ticket) -> None:
    for each in tickets:
        assert Admitted() == to.offer(each, now_ns=0)


def start(of: Scheduler, now_ms: float = 0, executor: int = 0) -> Dispatch:
    step = of.step(executor, now_ns=int(now_ms * MS))
    assert isinstance(step, Dispatch)
    return step


def ids(dispatch: Dispatch) -> list[int]:
    return [each.id for each in dispatch.tickets]


def test_earliest_deadline_first() -> None:
    """A run holds the most urgent tickets, most urgent first; arrival decides between equals."""
    made = scheduler()
    admit(made, ticket(1, 90), ticket(2, 70), ticket(3, 80), ticket(4, 70))
    assert Dispatch(0, INT8, (ticket(2, 70), ticket(4, 70), ticket(3, 80), ticket(1, 90)), 400, 5 * MS) == (
        start(made)
    )


def test_lanes_do_not_mix() -> None:
    """A run takes the head's lane only; the other lane's turn comes next."""
    made = scheduler(executors=2)
    admit(made, ticket(1, 70), ticket(2, 60, lane=FP32), ticket(3, 80, lane=FP32), ticket(4, 90))
    first, second = start(made, executor=0), start(made, executor=1)
    assert (FP32, [2, 3]) == (first.lane, ids(first))
    assert (INT8, [1, 4]) == (second.lane, ids(second))


def test_rows_are_bounded() -> None:
    """250 rows at most: two of 100 share a run, the third waits."""
    made = scheduler(rows_max=250)
    admit(made, ticket(1, 70), ticket(2, 71), ticket(3, 72))
    assert [1, 2] == ids(start(made))


def test_order_is_kept_when_a_ticket_does_not_fit() -> None:
    """A small ticket does not overtake a large one that is due before it."""
    made = scheduler(rows_max=250)
    admit(made, ticket(1, 70), ticket(2, 71, rows=200), ticket(3, 72, rows=1))
    assert [1] == ids(start(made))


def test_requests_are_bounded() -> None:
    """Two requests at most."""
    made = scheduler(requests_max=2)
    admit(made, *(ticket(n, 70 + n, rows=1) for n in (1, 2, 3)))
    assert [1, 2] == ids(start(made))


def test_a_request_over_rows_max_runs_alone() -> None:
    """It is not split and not refused; nobody joins it, and it joins nobody."""
    made = scheduler(rows_max=250)
    admit(made, ticket(1, 70), ticket(2, 71, rows=300), ticket(3, 72))
    runs = []
    for now_ms in (0, 10, 20):
        runs.append(ids(start(made, now_ms)))
        made.complete(0, run_ns=MS)
    assert [[1], [2], [3]] == runs


def test_a_fuller_run_makes_nobody_late() -> None:
    """Head due in 2.5 ms: a second request would stretch its run to 3 ms, so it runs alone."""
    made = scheduler()
    admit(made, ticket(1, 2.5), ticket(2, 60))
    assert [1] == ids(start(made))


def test_an_idle_executor_starts_at_once() -> None:
    """One ticket is enough for a run: nothing waits for company."""
    made = scheduler()
    admit(made, ticket(1, 60))
    assert Dispatch(0, INT8, (ticket(1, 60),), 100, 2 * MS) == made.step(0, now_ns=0)


def test_nothing_waits_nothing_starts() -> None:
    """An empty queue is Idle."""
    assert Idle() == scheduler().step(0, now_ns=0)


def test_who_cannot_finish_is_not_started() -> None:
    """At its latest start a ticket still runs; a nanosecond later it is passed over and left to `expire`."""
    made = scheduler()
    admit(made, ticket(1, 5))
    assert Idle() == made.step(0, now_ns=3 * MS + 1)
    assert [1] == ids(start(made, 3))


def test_a_late_head_does_not_block_the_rest() -> None:
    """The run starts with the first ticket that can still finish."""
    made = scheduler()
    admit(made, ticket(1, 5), ticket(2, 60))
    assert [2] == ids(start(made, 4))


def test_expiry_is_exact_and_final() -> None:
    """`expire` gives back those past their latest start, earliest first, once."""
    made = scheduler()
    admit(made, ticket(1, 60), ticket(2, 5), ticket(3, 6))
    assert 3 * MS == made.next_expiry_ns()
    assert () == made.expire(now_ns=3 * MS)
    assert (ticket(2, 5), ticket(3, 6)) == made.expire(now_ns=4 * MS + 1)
    assert () == made.expire(now_ns=4 * MS + 1)
    assert 58 * MS == made.next_expiry_ns()


def test_who_runs_does_not_expire() -> None:
    """A started ticket has left the queue: no later call decides about it again."""
    made = scheduler()
    admit(made, ticket(1, 60))
    start(made)
    assert None is made.next_expiry_ns()
    assert () == made.expire(now_ns=1000 * MS)
    assert not made.cancel(ticket(1, 60))


def test_cancelling_frees_the_place() -> None:
    """A cancelled ticket never runs, its work leaves the plan, and a second cancel finds nothing."""
    made = scheduler()
    admit(made, ticket(1, 60), ticket(2, 61))
    assert made.cancel(ticket(1, 60))
    assert not made.cancel(ticket(1, 60))
    assert Snapshot(1, 100, 2 * MS, 0) == made.snapshot(now_ns=0)
    assert [2] == ids(start(made))


def test_a_refused_ticket_leaves_no_trace() -> None:
    """After a refusal the scheduler is what it was before."""
    made = scheduler()
    admit(made, ticket(1, 60))
    before = made.snapshot(now_ns=0)
    refusal = made.offer(ticket(2, 1.5), now_ns=0)
    assert Rejected(Reason.DEADLINE_TOO_SHORT, None, 2 * MS) == refusal
    assert before == made.snapshot(now_ns=0)
    assert not made.cancel(ticket(2, 1.5))


def test_the_queue_is_bounded_for_memory_too() -> None:
    """Beyond `queue_max` tickets the answer is OVERLOADED, with all planned work as the hint."""
    made = scheduler(queue_max=2)
    admit(made, ticket(1, 60), ticket(2, 61))
    assert Rejected(Reason.OVERLOADED, 3 * MS, 2 * MS) == made.offer(ticket(3, 62), now_ns=0)


def test_a_run_counts_until_it_ends() -> None:
    """Planned work is what is left of the run plus what waits; 0 when all is done."""
    made = scheduler()
    admit(made, ticket(1, 60))
    start(made)
    assert Snapshot(0, 0, 2 * MS, 1) == made.snapshot(now_ns=0)
    assert MS == made.planned_work_ns(now_ns=MS)
    made.complete(0, run_ns=2 * MS)
    assert Snapshot(0, 0, 0, 0) == made.snapshot(now_ns=2 * MS)


def test_an_overdue_run_is_taken_to_double() -> None:
    """6 ms after a run should have ended, another 6 are expected; just after, a quarter of its length."""
    made = scheduler()
    admit(made, ticket(1, 60))
    start(made)
    assert MS // 2 == made.planned_work_ns(now_ns=2 * MS + 1)
    assert 6 * MS == made.planned_work_ns(now_ns=8 * MS)


def test_the_first_free_executor_counts() -> None:
    """With one of two executors idle a ticket need not wait for the other."""
    made = scheduler(executors=2)
    admit(made, ticket(1, 60, rows=5000))
    start(made)
    assert Admitted() == made.offer(ticket(2, 3), now_ns=0)


def test_a_finished_run_teaches_and_a_failed_one_does_not() -> None:
    """A failure returns None and leaves the predictions; a finished run returns actual / predicted."""
    made = scheduler()
    admit(made, ticket(1, 60), ticket(2, 61, lane=FP32))
    start(made)
    before = made.costs[INT8].predict_ns(100)
    assert None is made.complete(0, run_ns=None)
    assert before == made.costs[INT8].predict_ns(100)
    start(made)
    assert 1.5 == made.complete(0, run_ns=6 * MS)
    assert before == made.costs[INT8].predict_ns(100)
    assert made.costs[FP32].predict_ns(100) > 4 * MS


def test_a_lane_may_go_while_it_runs() -> None:
    """A run that outlives its lane ends without a lesson."""
    made = scheduler()
    admit(made, ticket(1, 60))
    start(made)
    made.remove_lane(INT8)
    assert None is made.complete(0, run_ns=MS)


def test_an_executor_runs_one_thing_at_a_time() -> None:
    """To ask twice, or to end what never began, is our own mistake and says so."""
    made = scheduler()
    with pytest.raises(AssertionError, match="never dispatched"):
        made.complete(0, run_ns=1)
    admit(made, ticket(1, 60))
    start(made)
    with pytest.raises(AssertionError, match="while it runs"):
        made.step(0, now_ns=0)


def test_an_overestimate_heals_although_it_admits_nobody() -> None:
    """Refusals of what the warm-up would have taken, by an idle server, lead back to admission."""
    made = scheduler()
    cost = made.costs[INT8]
    cost.overhead_ns *= 100
    cost.row_ns *= 100
    refused = 0
    while isinstance(verdict := made.offer(ticket(refused + 1, 10), now_ns=0), Rejected):
        assert Reason.DEADLINE_TOO_SHORT is verdict.reason
        refused += 1
        assert refused < 300
    assert refused > 100


def test_a_hopeless_request_does_not_shake_a_good_estimate() -> None:
    """What the warm-up would have refused as well teaches nothing, however often it is asked."""
    made = scheduler()
    cost = made.costs[INT8]
    cost.overhead_ns *= 2
    before = cost.predict_ns(100)
    for n in range(1, 100):
        made.offer(ticket(n, 1.9), now_ns=0)
    assert before == cost.predict_ns(100)


def test_a_busy_server_does_not_doubt() -> None:
    """While something runs, its end will teach: refusals leave the estimate alone."""
    made = scheduler()
    admit(made, ticket(1, 60))
    start(made)
    cost = made.costs[INT8]
    cost.overhead_ns *= 100
    before = cost.predict_ns(100)
    for n in range(2, 50):
        made.offer(ticket(n, 10), now_ns=0)
    assert before == cost.predict_ns(100)
