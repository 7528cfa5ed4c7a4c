"""The baseline: a queue, a timeout, a largest batch, a delay; deadlines mean nothing."""

from __future__ import annotations

from server.core.cost import CostModel
from server.core.decisions import Admitted, Dispatch, Idle, Lane, Rejected, RunTime, Ticket
from server.core.fifo import FifoLimits, FifoScheduler
from server.core.line import Line

MS = 1_000_000
A, B = Lane("a", 1, "int8"), Lane("b", 1, "int8")


def fifo(**limits: int) -> FifoScheduler:
    made = FifoScheduler(FifoLimits(**limits))
    for lane in (A, B):
        made.add_lane(lane, CostModel(Line(1e6, 0.0, 1e4)))
    return made


def ticket(n: int, lane: Lane = A, arrival_ms: int = 0) -> Ticket:
    return Ticket(n, lane, 100, arrival_ms * MS, 0)


def ids(step: object) -> list[int]:
    assert isinstance(step, Dispatch)
    return [part.ticket.id for part in step.parts]


def test_first_come_first_served_by_lane() -> None:
    """The oldest ticket's lane runs, with all others of it; deadlines long past do not matter."""
    made = fifo()
    for each in (ticket(1), ticket(2, B), ticket(3)):
        assert Admitted() == made.offer(each, now_ns=0)
    assert [1, 3] == ids(made.step(0, now_ns=0))
    made.complete(0, RunTime(MS), now_ns=MS)
    assert [2] == ids(made.step(0, now_ns=MS))


def test_the_queue_is_bounded() -> None:
    """The third is refused."""
    made = fifo(queue_max=2)
    verdicts = [made.offer(ticket(n), now_ns=0) for n in (1, 2, 3)]
    assert [Admitted, Admitted, Rejected] == [type(verdict) for verdict in verdicts]


def test_who_has_waited_too_long_is_given_up() -> None:
    """In order of arrival; without a timeout nobody is."""
    made = fifo(timeout_ns=10 * MS)
    for each in (ticket(1), ticket(2, arrival_ms=5)):
        made.offer(each, now_ns=0)
    assert 10 * MS == made.next_expiry_ns()
    assert (ticket(1),) == made.expire(now_ns=11 * MS)
    assert 15 * MS == made.next_expiry_ns()
    patient = fifo()
    patient.offer(ticket(1), now_ns=0)
    assert None is patient.next_expiry_ns()
    assert () == patient.expire(now_ns=10**12)


def test_a_run_that_is_not_full_waits_for_the_delay() -> None:
    """Asked again when it is over; a full run does not wait."""
    made = fifo(delay_ns=5 * MS, requests_max=2)
    made.offer(ticket(1), now_ns=0)
    assert Idle(5 * MS) == made.step(0, now_ns=MS)
    assert [1] == ids(made.step(0, now_ns=5 * MS))
    made.complete(0, RunTime(MS), now_ns=6 * MS)
    for n in (2, 3):
        made.offer(ticket(n, arrival_ms=6), now_ns=6 * MS)
    assert [2, 3] == ids(made.step(0, now_ns=6 * MS))


def test_runs_are_bounded() -> None:
    """By rows and by requests."""
    made = fifo(rows_max=250)
    for n in range(1, 5):
        made.offer(ticket(n), now_ns=0)
    assert [1, 2] == ids(made.step(0, now_ns=0))


def test_cancelling_takes_out() -> None:
    """Once."""
    made = fifo()
    made.offer(ticket(1), now_ns=0)
    assert [True, False] == [made.cancel(ticket(1)), made.cancel(ticket(1))]
    assert Idle() == made.step(0, now_ns=0)
