"""Whom to give up when a plan has come to be late: after a stall, or when the machine has become slower.

Moore and Hodgson (1968): go through the tickets by deadline; whenever one would end late, give up the largest
of all so far. That keeps as many as possible. Less important ones are given up before more important ones.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from server.core.decisions import Lane, Part, Ticket
from server.core.plan import Plan
from server.core.planned_run import Terms, due


def shed(plan: Plan, terms: Mapping[Lane, Terms], free: Sequence[int], now_ns: int) -> list[Ticket]:
    """Make the plan keep its deadlines again; the tickets that had to go."""
    parts = sorted((part for run in plan.runs if not run.probe for part in run.parts), key=due)
    probes = [run for run in plan.runs if run.probe]
    by_ticket: dict[int, list[Part]] = {}
    for part in parts:
        by_ticket.setdefault(part.ticket.id, []).append(part)
    given_up = _least_worthy(list(by_ticket.values()), terms, free, now_ns)
    plan.runs = probes
    gone: list[Ticket] = []
    for ticket_id, own in by_ticket.items():
        ticket = own[0].ticket
        # Without margin: who can still make it shall, even if nothing unforeseen may happen any more.
        if ticket_id in given_up or not plan.place(own, terms[ticket.lane], free, 0):
            gone.append(ticket)
    return gone


def _least_worthy(
    tickets: Sequence[Sequence[Part]], terms: Mapping[Lane, Terms], free: Sequence[int], now_ns: int
) -> set[int]:
    """Ids of those to give up, taking each for as much work as it adds to a run that exists already."""
    kept: list[tuple[int, float, int]] = []  # heap: the least important first, of these the largest
    given_up: set[int] = set()
    start_ns = sum(max(at, now_ns) for at in free) / len(free)
    work_ns = 0.0
    for parts in tickets:
        ticket = parts[0].ticket
        cost = terms[ticket.lane].cost
        own_ns = sum(cost.predict_ns(1, part.rows) - cost.shared_ns() for part in parts) / len(free)
        heapq.heappush(kept, (-ticket.importance, -own_ns, ticket.id))
        work_ns += own_ns
        while kept and start_ns + work_ns > ticket.deadline_ns:
            _, minus_ns, gone = heapq.heappop(kept)
            work_ns += minus_ns
            given_up.add(gone)
    return given_up
