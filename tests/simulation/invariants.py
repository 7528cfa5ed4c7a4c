"""What must hold in every world, as functions from a trace to the sentences that contradict it.

Rule: an invariant reads the trace and nothing else; an empty list means that it held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tests.simulation.world import TICK_NS, Start, Trace


def one_ending(trace: Trace) -> list[str]:
    """I4: every ticket is told exactly one ending, and planned work is back at 0 when all have one."""
    wrong = [
        f"ticket {ticket_id} was told {trace.endings[ticket_id]}"
        for ticket_id in range(1, trace.workload.requests + 1)
        if len(trace.endings[ticket_id]) != 1
    ]
    if trace.planned_ns_at_end != 0:
        wrong.append(f"{trace.planned_ns_at_end} ns of work are planned for nobody")
    return wrong


def starts_in_time(trace: Trace) -> list[str]:
    """I1: at each start, now + predicted run <= the deadline of every member; probes excepted."""
    return [
        f"at {start.now_ns}: a run predicted to end {end_ns - tightest_ns} ns after a member's deadline"
        for start in trace.starts
        if not start.dispatch.probe
        and (end_ns := start.now_ns + start.dispatch.predicted_ns)
        > (tightest_ns := min(part.ticket.deadline_ns for part in start.dispatch.parts))
    ]


def bounded_runs(trace: Trace) -> list[str]:
    """No run over `rows_max` unless it is one part alone; none over `requests_max`; one lane each."""
    wrong = []
    for start in trace.starts:
        parts = start.dispatch.parts
        rows = sum(part.rows for part in parts)
        if rows != start.dispatch.rows:
            wrong.append(f"at {start.now_ns}: {rows} rows are called {start.dispatch.rows}")
        if rows > trace.workload.rows_max and len(parts) > 1:
            wrong.append(f"at {start.now_ns}: {rows} rows of {len(parts)} requests in one run")
        if len(parts) > trace.workload.requests_max:
            wrong.append(f"at {start.now_ns}: {len(parts)} requests in one run")
        if {part.ticket.lane for part in parts} != {start.dispatch.lane}:
            wrong.append(f"at {start.now_ns}: a run mixes lanes")
    return wrong


def runs_leave_room(trace: Trace) -> list[str]:
    """Company never makes a run longer than half of the time that its most urgent member had; exact where
    runs take what was predicted, for a run is planned by one prediction and starts by another."""
    workload, wrong = trace.workload, []
    if workload.noise or workload.stall_share or workload.drift != 1.0:
        return []
    for start in trace.starts:
        dispatch = start.dispatch
        urgent = min((part.ticket for part in dispatch.parts), key=lambda ticket: ticket.deadline_ns)
        half_ns = (urgent.deadline_ns - urgent.arrival_ns) // 2
        if len(dispatch.parts) > 1 and dispatch.predicted_ns > half_ns:
            wrong.append(f"at {start.now_ns}: {len(dispatch.parts)} share {dispatch.predicted_ns} ns")
    return wrong


def starts_at_once(trace: Trace) -> list[str]:
    """I3: who is admitted while an executor idles and nobody waits starts in that very instant."""
    began = {
        part.ticket.id: start.now_ns for start in reversed(trace.starts) for part in start.dispatch.parts
    }
    alone = Counter(offer.now_ns for offer in trace.offers)
    return [
        f"ticket {offer.ticket.id} came at {offer.now_ns} and did not start at once"
        for offer in trace.offers
        if offer.admitted
        and offer.idle
        and alone[offer.now_ns] == 1
        and began.get(offer.ticket.id, offer.now_ns) != offer.now_ns
    ]


def scored_whole(trace: Trace) -> list[str]:
    """Every row of an answered ticket ran exactly once, whether split or not."""
    return [
        f"ticket {ticket_id} of {trace.admitted[ticket_id].rows} rows ran as {sorted(parts)}"
        for ticket_id, _ in trace.ended("answered")
        if not _tiles(parts := trace.covered[ticket_id], trace.admitted[ticket_id].rows)
    ]


def most_urgent_first(trace: Trace) -> list[str]:
    """A run's first is due no later than anyone who waits untouched: with one lane and one executor, as long
    as nobody leaves the queue (who stays of a run keeps the place that the more urgent one had)."""
    left = [ending for ending in ("expired", "cancelled", "displaced") if trace.ended(ending)]
    if trace.workload.lanes > 1 or trace.workload.executors > 1 or left:
        return []
    return [
        f"at {start.now_ns}: ticket {start.dispatch.parts[0].ticket.id} starts before one that is due earlier"
        for start in trace.starts
        if _head_ns(start) > min((ticket.deadline_ns for ticket in start.waiting), default=_head_ns(start))
    ]


def never_idle(trace: Trace) -> list[str]:
    """I3: at the end of an instant no executor idles while a ticket waits that could still finish."""
    return [f"at {at_ns}: an executor idles beside a startable ticket" for at_ns in trace.idled]


def told_in_time(trace: Trace) -> list[str]:
    """I9: nobody who waits hears of it later than a timer's period after the deadline, whatever is stuck."""
    return [
        f"ticket {ticket_id} expired {at_ns - deadline_ns} ns after its deadline"
        for ticket_id, at_ns in trace.ended("expired")
        if at_ns > (deadline_ns := trace.admitted[ticket_id].deadline_ns) + TICK_NS
    ]


def stuck_is_named(trace: Trace) -> list[str]:
    """I9: an executor in a run of ten times its predicted length is reported."""
    return [f"executor {executor} was stuck, and nobody said so" for executor in trace.unreported]


def bounded_plan(trace: Trace) -> list[str]:
    """I5: just after an admission all planned work is predicted to end by the last waiting deadline."""
    return [f"at {at_ns}: the plan outlasts every deadline" for at_ns in trace.overplanned]


def failures_teach_nothing(trace: Trace) -> list[str]:
    """A failed run leaves the lane's predictions as they were."""
    return [f"at {at_ns}: a failed run changed a prediction" for at_ns in trace.unlearned]


def cancel_is_truthful(trace: Trace) -> list[str]:
    """`cancel` says True exactly for tickets of which something waits."""
    return [f"cancel said {said}, the ledger {was}" for said, was in trace.cancels if said is not was]


def displaces_the_lesser(trace: Trace) -> list[str]:
    """Who is displaced waited untouched and is less important than who came."""
    wrong = []
    for offer in trace.offers:
        for victim in offer.displaced:
            if victim not in offer.waiting:
                wrong.append(f"at {offer.now_ns}: ticket {victim.id} did not wait and is displaced")
            if victim.importance <= offer.ticket.importance:
                wrong.append(f"at {offer.now_ns}: ticket {victim.id} is displaced by one no more important")
    return wrong


INVARIANTS: dict[str, Callable[[Trace], list[str]]] = {
    invariant.__name__: invariant
    for invariant in (
        one_ending,
        starts_in_time,
        bounded_runs,
        runs_leave_room,
        starts_at_once,
        scored_whole,
        most_urgent_first,
        never_idle,
        told_in_time,
        stuck_is_named,
        bounded_plan,
        failures_teach_nothing,
        cancel_is_truthful,
        displaces_the_lesser,
    )
}


def violations(trace: Trace) -> dict[str, list[str]]:
    """All that is wrong with a trace, by invariant."""
    found = {name: invariant(trace) for name, invariant in INVARIANTS.items()}
    return {name: wrong for name, wrong in found.items() if wrong}


def _head_ns(start: Start) -> int:
    return start.dispatch.parts[0].ticket.deadline_ns


def _tiles(parts: list[tuple[int, int]], rows: int) -> bool:
    at = 0
    for start, count in sorted(parts):
        if start != at:
            return False
        at += count
    return at == rows
