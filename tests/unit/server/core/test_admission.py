"""Admission: hopeless or busy, and who would be made late."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from server.core.admission import Plan, judge
from server.core.cost import CostModel
from server.core.decisions import Admitted, Lane, Rejected, Ticket
from server.errors import Reason

MS = 1_000_000
FAST, SLOW = Lane("a", 1, "int8"), Lane("a", 1, "fp32")
COSTS = {FAST: CostModel(MS, 10_000, 1.0), SLOW: CostModel(2 * MS, 40_000, 1.5)}


def plan(executors: int = 1) -> Plan:
    return Plan(COSTS, rows_max=200, executors=executors)


def ticket(n: int, deadline_ns: int, rows: int = 100, lane: Lane = FAST) -> Ticket:
    return Ticket(n, lane, rows, 0, deadline_ns)


def verdict(mine: Ticket, *others: Ticket, free_ns: int = 0, margin_ns: int = 0) -> Admitted | Rejected:
    """Judge `mine` among `others` at time 0, as the scheduler would."""
    waiting = sorted([mine, *others], key=lambda t: (t.deadline_ns, t.id))
    rows: dict[Lane, int] = {}
    for each in waiting:
        rows[each.lane] = rows.get(each.lane, 0) + each.rows
    return judge(
        mine,
        waiting,
        plan(),
        work_ns=plan().work_ns(rows),
        now_ns=0,
        free_ns=free_ns,
        margin_ns=margin_ns,
        alone_ns=COSTS[mine.lane].predict_ns(mine.rows),
    )


def test_work_is_runs_and_rows() -> None:
    """450 rows are three runs of at most 200: 3 overheads and 450 rows, times the ratio; lanes add up."""
    assert 3 * MS + 4_500_000 == plan().work_ns({FAST: 450})
    assert int(1.5 * (2 * MS + 4_000_000)) == plan().work_ns({SLOW: 100})
    assert plan().work_ns({FAST: 450}) + plan().work_ns({SLOW: 100}) == plan().work_ns({FAST: 450, SLOW: 100})


def test_executors_share_the_work() -> None:
    """Two executors halve the predicted time."""
    assert plan(1).work_ns({FAST: 450}) // 2 == plan(2).work_ns({FAST: 450})


def test_an_idle_server_admits_up_to_the_last_nanosecond() -> None:
    """A run of 2 ms with 1 ms of margin fits a deadline in 3 ms and none earlier."""
    assert Admitted() == verdict(ticket(1, 3 * MS), margin_ns=MS)
    assert Rejected(Reason.DEADLINE_TOO_SHORT, None, 3 * MS) == verdict(ticket(1, 3 * MS - 1), margin_ns=MS)


def test_hopeless_is_not_busy() -> None:
    """What even an idle server could not do is DEADLINE_TOO_SHORT, without a hint, however busy it is."""
    refusal = verdict(ticket(1, MS), ticket(2, 50 * MS), free_ns=40 * MS)
    assert Rejected(Reason.DEADLINE_TOO_SHORT, None, 2 * MS) == refusal


def test_busy_says_when_to_come_back() -> None:
    """Executor free in 10 ms, run of 2 ms, deadline in 7: 5 ms short, so 5 ms is the hint."""
    assert Rejected(Reason.OVERLOADED, 5 * MS, 2 * MS) == verdict(ticket(1, 7 * MS), free_ns=10 * MS)


def test_the_hint_is_at_least_one_run() -> None:
    """A shortfall below one's own run is no reason to come back at once."""
    assert Rejected(Reason.OVERLOADED, 2 * MS, 2 * MS) == verdict(ticket(1, 7 * MS), free_ns=6 * MS)


def test_nobody_admitted_is_made_late() -> None:
    """An urgent ticket that would fit itself is refused if one already waiting would finish too late."""
    waits = ticket(2, 3 * MS)
    assert Admitted() == verdict(ticket(1, 3 * MS - 1, rows=100), waits)  # they share a run of 3 ms
    refusal = verdict(ticket(1, 3 * MS - 1, rows=101), waits)
    assert isinstance(refusal, Rejected)
    assert Reason.OVERLOADED is refusal.reason


def test_who_is_due_later_does_not_stand_in_the_way() -> None:
    """A queue of patient tickets does not cost an urgent one its place."""
    patient = [ticket(n, 900 * MS, rows=200) for n in range(2, 100)]
    assert Admitted() == verdict(ticket(1, 3 * MS), *patient)


@st.composite
def queues(draw: st.DrawFn) -> tuple[Ticket, list[Ticket], int, int]:
    count = draw(st.integers(1, 12))
    each = st.tuples(st.integers(0, 60 * MS), st.integers(1, 400), st.sampled_from([FAST, SLOW]))
    tickets = [ticket(n, *draw(each)) for n in range(count)]
    return tickets[0], tickets[1:], draw(st.integers(0, 20 * MS)), draw(st.sampled_from([0, MS]))


@settings(derandomize=True, deadline=None, max_examples=500)
@given(queues())
def test_the_fast_path_decides_as_the_walk_does(queue: tuple[Ticket, list[Ticket], int, int]) -> None:
    """Skipping the walk when the plan ends before the tightest deadline never changes a verdict."""
    mine, others, free_ns, margin_ns = queue
    said = verdict(mine, *others, free_ns=free_ns, margin_ns=margin_ns)
    if isinstance(said, Rejected) and said.reason is Reason.DEADLINE_TOO_SHORT:
        assert COSTS[mine.lane].predict_ns(mine.rows) + margin_ns > mine.deadline_ns
        return
    waiting = sorted([mine, *others], key=lambda t: (t.deadline_ns, t.id))
    assert isinstance(said, Rejected) == plan().late(waiting, free_ns, margin_ns)
