"""Schedulers with one fault each: an invariant that none of them breaks would prove nothing.

Rule: a mutant overrides as little of the real scheduler as its fault needs.
"""

from __future__ import annotations

import random
from dataclasses import replace

from server.core.decisions import Admitted, Dispatch, Idle, Rejected, Step, Ticket
from server.core.scheduler import Limits, Scheduler


class StartsLate(Scheduler):
    """Starts whatever waits, in time or not."""

    def _is_late(self, ticket: Ticket, now_ns: int) -> bool:
        return False


class LosesTickets(Scheduler):
    """Forgets the last member of every full-enough run."""

    def step(self, executor: int, *, now_ns: int) -> Step:
        step = super().step(executor, now_ns=now_ns)
        if isinstance(step, Dispatch) and len(step.tickets) > 1:
            lost = step.tickets[-1]
            return replace(step, tickets=step.tickets[:-1], rows=step.rows - lost.rows)
        return step


class AnswersTwice(Scheduler):
    """Lets a ticket expire that runs already."""

    _last: tuple[Ticket, ...] = ()

    def step(self, executor: int, *, now_ns: int) -> Step:
        step = super().step(executor, now_ns=now_ns)
        if isinstance(step, Dispatch):
            self._last = step.tickets
        return step

    def expire(self, *, now_ns: int) -> tuple[Ticket, ...]:
        gone, self._last = self._last, ()
        return super().expire(now_ns=now_ns) + gone


class KeepsPlanOfTheCancelled(Scheduler):
    """Takes a cancelled ticket out of the queue and leaves its rows in the plan."""

    def cancel(self, ticket: Ticket) -> bool:
        taken_out = super().cancel(ticket)
        if taken_out:
            self._waiting_rows[ticket.lane] += ticket.rows
        return taken_out


class CancelsTheRunning(Scheduler):
    """Says that it took out what runs already."""

    def cancel(self, ticket: Ticket) -> bool:
        return super().cancel(ticket) or any(
            running is not None and ticket in running[0].tickets for running in self._running
        )


class LearnsFromFailures(Scheduler):
    """Takes a failed run for a fast one."""

    def complete(self, executor: int, *, run_ns: int | None) -> float | None:
        return super().complete(executor, run_ns=1_000 if run_ns is None else run_ns)


class NeverExpires(Scheduler):
    """Leaves in the queue whoever can no longer finish."""

    def expire(self, *, now_ns: int) -> tuple[Ticket, ...]:
        return ()

    def next_expiry_ns(self) -> int | None:
        return None


class ExpiresLate(Scheduler):
    """Lets the timer come 50 ms after the latest start."""

    def expire(self, *, now_ns: int) -> tuple[Ticket, ...]:
        return super().expire(now_ns=now_ns - 50_000_000)

    def next_expiry_ns(self) -> int | None:
        at_ns = super().next_expiry_ns()
        return None if at_ns is None else at_ns + 50_000_000


class IgnoresRowsMax(Scheduler):
    """Fills a run up to the deadline, whatever the limit."""

    def _dispatch(self, executor: int, start: int, now_ns: int) -> Dispatch:
        limits, self._limits = self._limits, replace(self._limits, rows_max=1 << 30)
        dispatch = super()._dispatch(executor, start, now_ns)
        self._limits = limits
        return dispatch


class WaitsForCompany(Scheduler):
    """Keeps an executor idle until two tickets can share a run."""

    def step(self, executor: int, *, now_ns: int) -> Step:
        return super().step(executor, now_ns=now_ns) if len(self._waiting) > 1 else Idle()


class FirstComeFirstServed(Scheduler):
    """Starts with the ticket that arrived first."""

    def step(self, executor: int, *, now_ns: int) -> Step:
        in_time = [ticket for ticket in self._waiting if not self._is_late(ticket, now_ns)]
        if not in_time:
            return Idle()
        first = min(in_time, key=lambda ticket: ticket.arrival_ns)
        return self._dispatch(executor, self._waiting.index(first), now_ns)


class AdmitsAll(Scheduler):
    """Says yes to everybody: a plain queue."""

    def __init__(self, limits: Limits, executors: int = 1) -> None:
        super().__init__(replace(limits, margin_ns=-(1 << 60)), executors)


class TossesCoins(Scheduler):
    """Refuses one ticket in twenty by chance."""

    def offer(self, ticket: Ticket, *, now_ns: int) -> Admitted | Rejected:
        if random.SystemRandom().random() < 0.05:
            return super().offer(ticket._replace(deadline_ns=now_ns), now_ns=now_ns)
        return super().offer(ticket, now_ns=now_ns)


MUTANTS: dict[type[Scheduler], str] = {
    StartsLate: "starts_in_time",
    LosesTickets: "one_ending",
    AnswersTwice: "one_ending",
    KeepsPlanOfTheCancelled: "one_ending",
    NeverExpires: "one_ending",
    CancelsTheRunning: "cancel_is_truthful",
    LearnsFromFailures: "failures_teach_nothing",
    ExpiresLate: "told_in_time",
    IgnoresRowsMax: "bounded_runs",
    WaitsForCompany: "never_idle",
    FirstComeFirstServed: "most_urgent_first",
    AdmitsAll: "bounded_plan",
}
"""Each mutant with the invariant that has to catch it. `TossesCoins` is caught by the digests."""
