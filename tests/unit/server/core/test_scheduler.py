"""The scheduler: order, limits, expiry, cancellation, classes, parts; state commits with the decision."""

from __future__ import annotations

import pytest

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
    Ticket,
)
from server.core.line import Line
from server.core.parts import PARTS_MAX
from server.core.scheduler import Limits, Scheduler
from server.errors import Reason

MS = 1_000_000
INT8, FP32 = Lane("a", 1, "int8"), Lane("a", 1, "fp32")


def cost(factor: float = 1.0) -> CostModel:
    return CostModel(Line(factor * MS, 0.0, factor * 10_000, per_request=False), [1.0] * 3)


def scheduler(executors: int = 1, chunk_ms: int | None = None, **limits: int) -> Scheduler:
    """One executor, no margin; a run takes 1 ms + 10 µs a row on `INT8`, twice that on `FP32`."""
    made = Scheduler(Limits(**({"margin_ns": 0} | limits)), executors)
    chunk_ns = None if chunk_ms is None else chunk_ms * MS
    made.add_lane(INT8, cost(), chunk_ns=chunk_ns)
    made.add_lane(FP32, cost(2.0), chunk_ns=chunk_ns)
    return made


def ticket(n: int, due_ms: float, rows: int = 100, lane: Lane = INT8, importance: int = 2) -> Ticket:
    return Ticket(n, lane, rows, 0, int(due_ms * MS), importance)


def admit(to: Scheduler, *tickets: Ticket) -> None:
    for each in tickets:
        assert isinstance(to.offer(each, now_ns=0), Admitted)


def start(of: Scheduler, now_ms: float = 0, executor: int = 0) -> Dispatch:
    step = of.step(executor, now_ns=int(now_ms * MS))
    assert isinstance(step, Dispatch)
    return step


def end(of: Scheduler, now_ms: float, took_ms: float, executor: int = 0) -> None:
    of.complete(executor, RunTime(int(took_ms * MS)), now_ns=int(now_ms * MS))


def ids(dispatch: Dispatch) -> list[int]:
    return [part.ticket.id for part in dispatch.parts]


def whole(each: Ticket) -> Part:
    return Part(each, 0, each.rows, each.rows)


def test_earliest_deadline_first() -> None:
    """A run holds the most urgent tickets, most urgent first; arrival decides between equals."""
    made = scheduler()
    tickets = [ticket(1, 90), ticket(2, 70), ticket(3, 80), ticket(4, 70)]
    admit(made, *tickets)
    expected = tuple(whole(tickets[at]) for at in (1, 3, 2, 0))
    assert Dispatch(0, INT8, expected, 400, 5 * MS, 5 * MS) == start(made)


def test_lanes_do_not_mix() -> None:
    """A run is of one lane; the other lane's turn comes by its deadline."""
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


def test_requests_are_bounded() -> None:
    """Two requests at most."""
    made = scheduler(requests_max=2)
    admit(made, *(ticket(n, 70 + n, rows=1) for n in (1, 2, 3)))
    assert [1, 2] == ids(start(made))


def test_a_request_over_rows_max_runs_alone() -> None:
    """Where it cannot be split it is not refused either; nobody joins it, and it joins nobody."""
    made = scheduler(rows_max=250)
    admit(made, ticket(1, 70), ticket(2, 71, rows=300), ticket(3, 72))
    runs = []
    for now_ms in (0, 10):
        runs.append(ids(start(made, now_ms)))
        end(made, now_ms + 5, 1)
    assert [[1, 3], [2]] == runs


def test_a_fuller_run_makes_nobody_late() -> None:
    """Head due in 2.5 ms: a second request would stretch its run to 3 ms, so it runs alone."""
    made = scheduler()
    admit(made, ticket(1, 2.5), ticket(2, 60))
    assert [1] == ids(start(made))


def test_company_must_be_worth_its_while() -> None:
    """A run's fixed cost of 1 ms is nothing beside 80 ms of work: the two run one after the other."""
    made = scheduler(rows_max=100_000)
    admit(made, ticket(1, 500, rows=8000), ticket(2, 501, rows=8000))
    assert [1] == ids(start(made))


def test_a_run_says_what_it_takes_alone() -> None:
    """Neighbours who take half of the core double what is predicted, not what the run takes alone."""
    made, crowded = scheduler(), cost()
    crowded.stretch = 2.0
    made.add_lane(FP32, crowded)
    admit(made, ticket(1, 60, lane=FP32))
    run = start(made)
    assert (4 * MS, 2 * MS) == (run.predicted_ns, run.alone_ns)


def test_an_idle_executor_starts_at_once() -> None:
    """One ticket is enough for a run: nothing waits for company."""
    made = scheduler()
    admit(made, ticket(1, 60))
    assert Dispatch(0, INT8, (whole(ticket(1, 60)),), 100, 2 * MS, 2 * MS) == made.step(0, now_ns=0)


def test_nothing_waits_nothing_starts() -> None:
    """An empty queue is Idle."""
    assert Idle() == scheduler().step(0, now_ns=0)


def test_who_cannot_finish_is_not_started() -> None:
    """At its latest start a ticket still runs; a nanosecond later it is given up, and told so at once."""
    made = scheduler()
    admit(made, ticket(1, 5))
    assert [1] == ids(start(made, 3))
    made = scheduler()
    admit(made, ticket(1, 5))
    assert Idle(given_up=(ticket(1, 5),)) == made.step(0, now_ns=3 * MS + 1)
    assert Snapshot(0, 0, 0, 0) == made.snapshot(now_ns=3 * MS + 1)


def test_a_late_head_does_not_block_the_rest() -> None:
    """The run starts with the first ticket that can still finish."""
    made = scheduler()
    admit(made, ticket(1, 5), ticket(2, 60))
    step = start(made, 4)
    assert ([2], (ticket(1, 5),)) == (ids(step), step.given_up)


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


def test_nobody_admitted_becomes_late() -> None:
    """Room for itself is not enough: an urgent request that would push an admitted one over is refused."""
    made = scheduler(requests_max=1)
    admit(made, ticket(1, 7, rows=500))  # 6 ms
    verdict = made.offer(ticket(2, 4), now_ns=0)  # 2 ms, due before
    assert isinstance(verdict, Rejected)
    assert Reason.OVERLOADED is verdict.reason
    admit(made, ticket(3, 10))


def test_the_margin_is_kept_free() -> None:
    """A run of 2 ms does not fit into 2.5 when 1 ms is kept free."""
    assert isinstance(scheduler(margin_ns=MS).offer(ticket(1, 2.5), now_ns=0), Rejected)
    assert isinstance(scheduler(margin_ns=MS).offer(ticket(1, 3), now_ns=0), Admitted)


def test_lateness_widens_the_margin() -> None:
    """Told of late answers, the scheduler admits what has more time only."""
    made = scheduler()
    admit(made, ticket(1, 60))
    start(made)
    admit(made, ticket(2, 11))
    assert made.cancel(ticket(2, 11))
    for _ in range(20):
        made.answered(INT8, late=1, requests=1)
    assert isinstance(made.offer(ticket(3, 11), now_ns=0), Rejected)


def test_too_busy_says_when() -> None:
    """The hint grows with what is planned, and again with how much more is asked for than can be done."""
    made = scheduler(requests_max=1)
    n = 0
    while isinstance(made.offer(ticket(n := n + 1, 25), now_ns=0), Admitted):
        pass
    first = made.offer(ticket(n + 1, 25), now_ns=0)
    for _ in range(2000):
        later = made.offer(ticket(n + 1, 25), now_ns=0)
    assert isinstance(first, Rejected)
    assert isinstance(later, Rejected)
    assert first.retry_after_ns is not None
    assert later.retry_after_ns is not None
    assert MS <= first.retry_after_ns < later.retry_after_ns
    assert 0 < first.queue_ns <= 25 * MS
    assert 100_000.0 == first.rows_per_s


def test_the_queue_is_bounded_for_memory_too() -> None:
    """Beyond `queue_max` tickets the answer is OVERLOADED."""
    made = scheduler(queue_max=2)
    admit(made, ticket(1, 60), ticket(2, 61))
    verdict = made.offer(ticket(3, 62), now_ns=0)
    assert isinstance(verdict, Rejected)
    assert Reason.OVERLOADED is verdict.reason


def test_a_run_counts_until_it_ends() -> None:
    """Planned work is what is left of the run plus what waits; 0 when all is done."""
    made = scheduler()
    admit(made, ticket(1, 60))
    start(made)
    assert Snapshot(0, 0, 2 * MS, 1) == made.snapshot(now_ns=0)
    assert MS == made.planned_work_ns(now_ns=MS)
    end(made, 2, 2)
    assert Snapshot(0, 0, 0, 0) == made.snapshot(now_ns=2 * MS)


def test_the_first_free_executor_counts() -> None:
    """With one of two executors idle a ticket need not wait for the other."""
    made = scheduler(executors=2)
    admit(made, ticket(1, 60, rows=5000))
    start(made)
    admit(made, ticket(2, 3))


def test_a_finished_run_teaches_and_a_failed_one_does_not() -> None:
    """A failure returns None and leaves the predictions; a finished run returns actual / predicted."""
    made = scheduler(executors=2)
    admit(made, ticket(1, 60), ticket(2, 61, lane=FP32))
    start(made, executor=0)
    start(made, executor=1)
    before = made.terms[INT8].cost.predict_ns(1, 100)
    assert None is made.complete(0, None, now_ns=MS)
    assert before == made.terms[INT8].cost.predict_ns(1, 100)
    assert 2.5 == made.complete(1, RunTime(10 * MS), now_ns=10 * MS)
    assert before == made.terms[INT8].cost.predict_ns(1, 100)
    assert made.terms[FP32].cost.predict_ns(1, 100) > 4 * MS


def test_a_lane_may_go_while_it_runs() -> None:
    """A run that outlives its lane ends without a lesson."""
    made = scheduler()
    admit(made, ticket(1, 60))
    start(made)
    made.remove_lane(INT8)
    assert None is made.complete(0, RunTime(MS), now_ns=MS)


def test_an_executor_runs_one_thing_at_a_time() -> None:
    """To ask twice, or to end what never began, is our own mistake and says so."""
    made = scheduler()
    with pytest.raises(AssertionError, match="never dispatched"):
        made.complete(0, RunTime(1), now_ns=1)
    admit(made, ticket(1, 60), ticket(2, 60, lane=FP32))
    start(made)
    with pytest.raises(AssertionError, match="while it runs"):
        made.step(0, now_ns=0)


class TestParts:
    """Requests that are split."""

    def test_a_long_request_is_split_evenly(self) -> None:
        """900 rows take 10 ms; with 6 ms at most that is two parts of 450, in order, of one deadline."""
        made = scheduler(chunk_ms=6)
        large = ticket(1, 60, rows=900)
        assert Admitted(parts=2) == made.offer(large, now_ns=0)
        assert (Part(large, 0, 450, 450),) == start(made).parts
        end(made, 5.5, 5.5)
        assert (Part(large, 450, 450, 450),) == start(made, 5.5).parts
        assert Snapshot(0, 0, 5_500_000, 1) == made.snapshot(now_ns=5_500_000)

    def test_an_urgent_request_gets_in_between(self) -> None:
        """It starts after the first part, long before the second has run."""
        made = scheduler(chunk_ms=6)
        admit(made, ticket(1, 60, rows=900))
        start(made)
        assert isinstance(made.offer(ticket(2, 9, rows=10), now_ns=MS), Admitted)
        end(made, 5.5, 5.5)
        assert [2] == ids(start(made, 5.5))

    def test_all_parts_or_none(self) -> None:
        """Room for one part of two is no room."""
        made = scheduler(chunk_ms=6)
        admit(made, ticket(1, 10, rows=700))
        before = made.snapshot(now_ns=0)
        assert isinstance(made.offer(ticket(2, 14, rows=900), now_ns=0), Rejected)
        assert before == made.snapshot(now_ns=0)

    def test_parts_never_meet_again(self) -> None:
        """Two parts of one ticket do not share a run, with or without others between them."""
        made = scheduler(chunk_ms=6, rows_max=5000)
        admit(made, ticket(1, 100, rows=900), ticket(2, 100, rows=10), ticket(3, 100, rows=900))
        for now_ms in range(0, 60, 12):
            if isinstance(step := made.step(0, now_ns=now_ms * MS), Dispatch):
                assert len(set(ids(step))) == len(step.parts)
                end(made, now_ms + 11, 11)

    def test_parts_may_run_side_by_side(self) -> None:
        """What one executor could not do in time, two can."""
        assert isinstance(scheduler(1, chunk_ms=6).offer(ticket(1, 9, rows=900), now_ns=0), Rejected)
        made = scheduler(2, chunk_ms=6)
        admit(made, ticket(1, 9, rows=900))
        assert [0, 450] == [start(made, executor=n).parts[0].start for n in (0, 1)]

    def test_the_rest_of_a_begun_request_can_be_cancelled(self) -> None:
        """What runs goes on; what waits goes."""
        made = scheduler(chunk_ms=6)
        admit(made, ticket(1, 60, rows=900))
        start(made)
        assert made.cancel(ticket(1, 60, rows=900))
        assert 0 == made.snapshot(now_ns=0).queue_depth

    def test_there_is_an_end_to_splitting(self) -> None:
        """At most 16 parts, and none so short that its fixed cost would be more than a quarter."""
        verdict = scheduler(chunk_ms=1).offer(ticket(1, 600, rows=900), now_ns=0)
        assert Admitted(parts=3) == verdict
        verdict = scheduler(chunk_ms=6).offer(ticket(1, 6000, rows=90_000), now_ns=0)
        assert Admitted(parts=PARTS_MAX) == verdict


class TestImportance:
    """Who gets in when there is no room for all."""

    def full(self, importance: int, count: int = 5) -> Scheduler:
        """5 runs of 2 ms fill 10 ms."""
        made = scheduler(requests_max=1)
        admit(made, *(ticket(n, 10.5, importance=importance) for n in range(1, count + 1)))
        return made

    def test_a_more_important_one_displaces_the_last_of_the_least(self) -> None:
        """As few as make room, the latest of the least important first."""
        made = self.full(2, 3)
        admit(made, ticket(4, 10.5, importance=3), ticket(5, 10.5, importance=3))
        assert Admitted(displaced=(ticket(5, 10.5, importance=3),)) == made.offer(
            ticket(6, 10.5, importance=1), now_ns=0
        )
        assert 5 == made.snapshot(now_ns=0).queue_depth
        assert not made.cancel(ticket(5, 10.5, importance=3))

    @pytest.mark.parametrize("importance", [2, 3])
    def test_an_equal_or_lesser_one_displaces_nobody(self, importance: int) -> None:
        """First come, first served within a class."""
        assert isinstance(self.full(2).offer(ticket(6, 10.5, importance=importance), now_ns=0), Rejected)

    def test_nobody_goes_for_one_who_does_not_fit_all_the_same(self) -> None:
        """No room even without the less important: nobody is displaced."""
        made = self.full(2, 4)
        admit(made, ticket(5, 10.5, importance=3))
        assert isinstance(made.offer(ticket(6, 10.5, rows=300, importance=2), now_ns=0), Rejected)
        assert 5 == made.snapshot(now_ns=0).queue_depth

    def test_who_has_begun_stays(self) -> None:
        """A part of it has run already: that work would be lost."""
        made = scheduler(chunk_ms=6)
        admit(made, ticket(1, 11.5, rows=900, importance=3))
        start(made)
        assert isinstance(made.offer(ticket(2, 11.5, rows=300, importance=1), now_ns=0), Rejected)


class TestHealing:
    """An over-estimate admits nobody, so nothing runs, so nothing teaches."""

    def poisoned(self) -> Scheduler:
        made = scheduler()
        made.terms[INT8].cost.line.scale(100.0)
        return made

    def test_an_idle_server_tries_what_the_warm_up_would_have_taken(self) -> None:
        """One try each 100 ms; what is tried is started, late as it seems."""
        made = self.poisoned()
        admit(made, ticket(1, 10))
        step = start(made)
        assert step.probe
        assert 1 == made.snapshot(now_ns=0).probes
        end(made, 2, 2)
        verdict = made.offer(ticket(2, 10), now_ns=3 * MS)
        assert isinstance(verdict, Rejected)
        assert Reason.DEADLINE_TOO_SHORT is verdict.reason
        assert isinstance(made.offer(Ticket(3, INT8, 100, 100 * MS, 110 * MS), now_ns=100 * MS), Admitted)

    def test_some_tries_heal_it(self) -> None:
        """After ten it is believed no more."""
        made = self.poisoned()
        for n in range(10):
            at_ns = n * 100 * MS
            if isinstance(made.offer(Ticket(n, INT8, 100, at_ns, at_ns + 10 * MS), now_ns=at_ns), Admitted):
                made.step(0, now_ns=at_ns)
                made.complete(0, RunTime(2 * MS), now_ns=at_ns + 2 * MS)
        assert made.terms[INT8].cost.predict_ns(1, 100) < 5 * MS

    def test_a_hopeless_request_is_not_tried(self) -> None:
        """What the warm-up would have refused as well."""
        assert isinstance(self.poisoned().offer(ticket(1, 1.9), now_ns=0), Rejected)

    def test_a_busy_server_does_not_try(self) -> None:
        """While something runs, its end will teach."""
        made = scheduler()
        admit(made, ticket(1, 60))
        start(made)
        made.terms[INT8].cost.line.scale(100.0)
        assert isinstance(made.offer(ticket(2, 10), now_ns=0), Rejected)


def crowded(**limits: int) -> Scheduler:
    """Full with runs of 2 and 4 ms, due in 3 and 7, and somebody has been refused."""
    made = scheduler(**limits)
    admit(made, ticket(1, 3), ticket(2, 7, lane=FP32))
    assert isinstance(made.offer(ticket(3, 8, lane=FP32), now_ns=0), Rejected)
    return made


def test_a_look_foresees_a_refusal() -> None:
    """In an overload who would find no room is told so, as an offer would tell; who would find it is not."""
    made = crowded()
    foreseen = made.look(ticket(4, 4), now_ns=0)
    assert foreseen is not None
    assert Reason.OVERLOADED is foreseen.reason
    assert made.look(ticket(5, 50), now_ns=0) is None
    offered = made.offer(ticket(4, 4), now_ns=0)
    assert isinstance(offered, Rejected)
    assert (foreseen.minimum_ns, foreseen.queue_ns) == (offered.minimum_ns, offered.queue_ns)


def test_a_look_leaves_no_trace() -> None:
    """Whoever only was looked at has no place, whatever the look said; nobody else has lost his."""
    made, untouched = crowded(), crowded()
    for due_ms in (4, 8, 50):
        made.look(ticket(9, due_ms), now_ns=0)
    assert made.snapshot(now_ns=0) == untouched.snapshot(now_ns=0)
    assert start(made) == start(untouched)
    end(made, 2, 2)
    end(untouched, 2, 2)
    assert start(made, 2) == start(untouched, 2)
    assert made.next_expiry_ns() is None


def test_nobody_looks_where_nobody_was_refused() -> None:
    """Without an overload a request is read and offered: looking first would cost twice."""
    made = scheduler()
    admit(made, ticket(1, 3), ticket(2, 7, lane=FP32))
    assert made.look(ticket(3, 4), now_ns=0) is None


def test_a_look_leaves_to_the_offer_what_it_cannot_foresee() -> None:
    """Who may displace somebody, and who may be hopeless."""
    made = crowded()
    assert made.look(ticket(4, 4, importance=1), now_ns=0) is None
    assert made.look(ticket(5, 1), now_ns=0) is None
