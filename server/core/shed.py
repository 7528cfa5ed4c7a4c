"""Whom to give up when a plan has come to be late: after a stall, or when the machine has become slower.

Moore and Hodgson (1968): go through what is planned by deadline; whenever a run would end late, give up the
largest ticket of all so far. That keeps as many as possible. Less important tickets go before more important
ones.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from server.core.decisions import Ticket
from server.core.plan import Plan
from server.core.planned_run import PlannedRun


def shed(plan: Plan, free: Sequence[int], now_ns: int) -> list[Ticket]:
    """Give up as few tickets as make the plan keep its deadlines again; who they are."""
    gone = _leastworthy(plan.runs, free)
    for ticket in gone:
        plan.remove(ticket)
    # What starts now has to end in time by the strict prediction, not by the mean.
    while plan.runs and not plan.runs[0].probe:
        first = plan.runs[0]
        if now_ns + first.time_ns <= first.deadline_ns:
            break
        if len(first.parts) > 1:
            plan.split_first()
            continue
        ticket = first.parts[0].ticket
        plan.remove(ticket)
        gone.append(ticket)
    return gone


def _leastworthy(runs: Sequence[PlannedRun], free: Sequence[int]) -> list[Ticket]:
    """By mean times: the strict ones of many runs in a row add up to what never happens."""
    kept: dict[int, float] = {}  # ticket -> what it adds to runs that exist anyway
    heap: list[tuple[tuple[int, int, int, int], Ticket]] = []  # the least worthy first
    gone: list[Ticket] = []
    start_ns, work_ns = free[0], 0.0  # with several executors a bound: nobody is given up who may make it
    for run in runs:
        if run.probe:
            continue
        work_ns += run.expected_ns / len(free)
        cost = run.terms.cost
        for part in run.parts:
            ticket = part.ticket
            own_ns = (cost.expect_ns(1, part.load) - cost.shared_ns()) / len(free)
            if ticket.id not in kept:
                heapq.heappush(heap, (worth(ticket), ticket))
            elif ticket in gone:
                work_ns -= own_ns
            kept[ticket.id] = kept.get(ticket.id, 0.0) + own_ns
        caution_ns = run.time_ns - run.expected_ns
        while heap and start_ns + work_ns + caution_ns > run.deadline_ns:
            _, ticket = heapq.heappop(heap)
            work_ns -= kept[ticket.id]
            gone.append(ticket)
    return gone


def worth(ticket: Ticket) -> tuple[int, int, int, int]:
    """The least worthy first: less important, then larger, then due later, then come later."""
    return -ticket.importance, -ticket.rows, -ticket.deadline_ns, -ticket.id
