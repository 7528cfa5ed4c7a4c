"""What must hold in every world, as functions from a trace to the sentences that contradict it.

Rule: an invariant reads the trace and nothing else; an empty list means that it held.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.world import TIMER_NS_MAX, Start, Trace


def one_ending(trace: Trace) -> list[str]:
    """Every ticket is told exactly one ending, and planned work is back at 0 when all have one."""
    wrong = [
        f"ticket {ticket_id} was told {trace.endings[ticket_id]}"
        for ticket_id in range(1, trace.workload.requests + 1)
        if len(trace.endings[ticket_id]) != 1
    ]
    if trace.planned_ns_at_end != 0:
        wrong.append(f"{trace.planned_ns_at_end} ns of work are planned for nobody")
    return wrong


def starts_in_time(trace: Trace) -> list[str]:
    """At each start, now + predicted run <= the deadline of every member, not the head's alone."""
    return [
        f"at {start.now_ns}: a run predicted to end {end_ns - tightest_ns} ns after a member's deadline"
        for start in trace.starts
        if (end_ns := start.now_ns + start.dispatch.predicted_ns)
        > (tightest_ns := min(ticket.deadline_ns for ticket in start.dispatch.tickets))
    ]


def bounded_runs(trace: Trace) -> list[str]:
    """No run over `rows_max` unless it is one request alone; none over `requests_max`; one lane each."""
    wrong = []
    for start in trace.starts:
        tickets = start.dispatch.tickets
        rows = sum(ticket.rows for ticket in tickets)
        if rows != start.dispatch.rows:
            wrong.append(f"at {start.now_ns}: {rows} rows are called {start.dispatch.rows}")
        if rows > trace.workload.rows_max and len(tickets) > 1:
            wrong.append(f"at {start.now_ns}: {rows} rows of {len(tickets)} requests in one run")
        if len(tickets) > trace.workload.requests_max:
            wrong.append(f"at {start.now_ns}: {len(tickets)} requests in one run")
        if {ticket.lane for ticket in tickets} != {start.dispatch.lane}:
            wrong.append(f"at {start.now_ns}: a run mixes lanes")
    return wrong


def most_urgent_first(trace: Trace) -> list[str]:
    """A run's head is due no later than anyone who waits and can still finish."""
    return [
        f"at {start.now_ns}: ticket {_head(start)} starts before one that is due earlier"
        for start in trace.starts
        if start.startable
        and start.dispatch.tickets[0].deadline_ns > min(ticket.deadline_ns for ticket in start.startable)
    ]


def never_idle(trace: Trace) -> list[str]:
    """At the end of an instant no executor idles while a ticket waits that could still finish."""
    return [f"at {at_ns}: an executor idles beside a startable ticket" for at_ns in trace.idled]


def told_in_time(trace: Trace) -> list[str]:
    """Nobody who waits hears of it later than a timer's period after the deadline, stuck executors or not."""
    return [
        f"ticket {ticket_id} expired {at_ns - deadline_ns} ns after its deadline"
        for ticket_id, at_ns in trace.ended("expired")
        if at_ns > (deadline_ns := trace.admitted[ticket_id].deadline_ns) + TIMER_NS_MAX
    ]


def bounded_plan(trace: Trace) -> list[str]:
    """Just after an admission all planned work is predicted to end by the last waiting deadline."""
    return [f"at {at_ns}: the plan outlasts every deadline" for at_ns in trace.overplanned]


def failures_teach_nothing(trace: Trace) -> list[str]:
    """A failed run leaves the lane's predictions as they were."""
    return [f"at {at_ns}: a failed run changed a prediction" for at_ns in trace.unlearned]


def cancel_is_truthful(trace: Trace) -> list[str]:
    """`cancel` says True exactly for tickets that wait."""
    return [f"cancel said {said}, the ledger {was}" for said, was in trace.cancels if said is not was]


INVARIANTS: dict[str, Callable[[Trace], list[str]]] = {
    invariant.__name__: invariant
    for invariant in (
        one_ending,
        starts_in_time,
        bounded_runs,
        most_urgent_first,
        never_idle,
        told_in_time,
        bounded_plan,
        failures_teach_nothing,
        cancel_is_truthful,
    )
}


def violations(trace: Trace) -> dict[str, list[str]]:
    """All that is wrong with a trace, by invariant."""
    found = {name: invariant(trace) for name, invariant in INVARIANTS.items()}
    return {name: wrong for name, wrong in found.items() if wrong}


def _head(start: Start) -> int:
    return start.dispatch.tickets[0].id
