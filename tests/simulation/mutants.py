"""Schedulers with one fault each: an invariant that none of them breaks would prove nothing.

Rule: a mutant overrides as little of the real scheduler as its fault needs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from server.core.decisions import Admitted, Dispatch, Idle, Part, Rejected, RunTime, Step, Stuck, Ticket
from server.core.plan import Plan
from server.core.planned_run import PlannedRun, Terms
from server.core.scheduler import Limits, Scheduler


class StartsLate(Scheduler):
    """Starts whatever waits, in time or not, and gives nobody up."""

    def __init__(self, limits: Limits, executors: int = 1) -> None:
        super().__init__(limits, executors)
        self._plan = _NeverLate(limits.rows_max, limits.requests_max)

    def expire(self, *, now_ns: int) -> tuple[Ticket, ...]:
        return ()


class _NeverLate(Plan):
    def late(self, free: Sequence[int]) -> bool:
        return False


class LosesTickets(Scheduler):
    """Forgets the last member of every full-enough run."""

    def step(self, executor: int, *, now_ns: int) -> Step:
        step = super().step(executor, now_ns=now_ns)
        if isinstance(step, Dispatch) and len(step.parts) > 1:
            lost = step.parts[-1]
            return replace(step, parts=step.parts[:-1], rows=step.rows - lost.rows)
        return step


class AnswersTwice(Scheduler):
    """Lets a ticket expire that runs already."""

    _last: tuple[Ticket, ...] = ()

    def step(self, executor: int, *, now_ns: int) -> Step:
        step = super().step(executor, now_ns=now_ns)
        if isinstance(step, Dispatch):
            self._last = tuple(part.ticket for part in step.parts)
        return step

    def expire(self, *, now_ns: int) -> tuple[Ticket, ...]:
        gone, self._last = self._last, ()
        return super().expire(now_ns=now_ns) + gone


class KeepsPlanOfTheCancelled(Scheduler):
    """Takes a cancelled ticket off the list and leaves it in the plan."""

    def cancel(self, ticket: Ticket) -> bool:
        if ticket.id not in self._waiting:
            return False
        self._leave(ticket)
        return True

    def _leave(self, ticket: Ticket) -> None:
        if ticket.id in self._waiting:
            super()._leave(ticket)


class CancelsTheRunning(Scheduler):
    """Says that it took out what runs already."""

    _started: frozenset[int] = frozenset()

    def step(self, executor: int, *, now_ns: int) -> Step:
        step = super().step(executor, now_ns=now_ns)
        if isinstance(step, Dispatch):
            self._started |= {part.ticket.id for part in step.parts}
        return step

    def cancel(self, ticket: Ticket) -> bool:
        return super().cancel(ticket) or ticket.id in self._started


class LearnsFromFailures(Scheduler):
    """Takes a failed run for a fast one."""

    def complete(self, executor: int, run: RunTime | None, *, now_ns: int) -> float | None:
        return super().complete(executor, RunTime(1_000) if run is None else run, now_ns=now_ns)


class NeverExpires(Scheduler):
    """Leaves in the queue whoever can no longer finish."""

    def __init__(self, limits: Limits, executors: int = 1) -> None:
        super().__init__(limits, executors)
        self._plan = _NeverLate(limits.rows_max, limits.requests_max)

    def expire(self, *, now_ns: int) -> tuple[Ticket, ...]:
        return ()

    def next_expiry_ns(self) -> int | None:
        return None

    def step(self, executor: int, *, now_ns: int) -> Step:
        runs = self._plan.runs
        return super().step(executor, now_ns=now_ns) if runs and runs[0].deadline_ns > now_ns else Idle()


class ExpiresLate(Scheduler):
    """Lets the timer come 50 ms after the latest start."""

    def expire(self, *, now_ns: int) -> tuple[Ticket, ...]:
        return super().expire(now_ns=now_ns - 50_000_000)

    def next_expiry_ns(self) -> int | None:
        at_ns = super().next_expiry_ns()
        return None if at_ns is None else at_ns + 50_000_000


class IgnoresRowsMax(Scheduler):
    """Fills a run up to the deadline, whatever the limit."""

    def __init__(self, limits: Limits, executors: int = 1) -> None:
        super().__init__(replace(limits, rows_max=1 << 30), executors)


class FillsUpToTheDeadline(Scheduler):
    """Leaves no room for whoever comes while a run is under way."""

    def __init__(self, limits: Limits, executors: int = 1) -> None:
        super().__init__(limits, executors)
        self._plan = _Uncapped(limits.rows_max, limits.requests_max)


class _Uncapped(Plan):
    def _joined_ns(self, run: PlannedRun, part: Part) -> int | None:
        run.cap_ns = 1 << 60
        return super()._joined_ns(run, part)


class WaitsForCompany(Scheduler):
    """Keeps an executor idle until two tickets can share a run."""

    def step(self, executor: int, *, now_ns: int) -> Step:
        return super().step(executor, now_ns=now_ns) if len(self._waiting) > 1 else Idle()


class StartsLater(Scheduler):
    """Lets every run wait for the second look."""

    _seen: frozenset[int] = frozenset()

    def step(self, executor: int, *, now_ns: int) -> Step:
        fresh, self._seen = self._waiting.keys() - self._seen, frozenset(self._waiting)
        return Idle() if fresh else super().step(executor, now_ns=now_ns)


class LastComeFirstServed(Scheduler):
    """Starts with the run that is due last."""

    def step(self, executor: int, *, now_ns: int) -> Step:
        self._plan.runs.reverse()
        step = super().step(executor, now_ns=now_ns)
        self._plan.runs.reverse()
        return step


class AdmitsAll(Scheduler):
    """Says yes to everybody: a plain queue."""

    def __init__(self, limits: Limits, executors: int = 1) -> None:
        super().__init__(limits, executors)
        self._plan = _TakesAll(limits.rows_max, limits.requests_max)


class _TakesAll(Plan):
    def _fits(self, free: Sequence[int], at: int, time_ns: int, due_ns: int, *, joins: bool) -> bool:
        return True


class TopsUpBlindly(Scheduler):
    """Takes in whoever can join, however long those behind will then take."""

    def __init__(self, limits: Limits, executors: int = 1) -> None:
        super().__init__(limits, executors)
        self._plan = _LooksAtTheFirstOnly(limits.rows_max, limits.requests_max)


class _LooksAtTheFirstOnly(Plan):
    def _in_time(self, free: Sequence[int], first_ns: int) -> bool:
        return True


class SplitsWithGaps(Scheduler):
    """Forgets the last rows of every part but the last."""

    def step(self, executor: int, *, now_ns: int) -> Step:
        step = super().step(executor, now_ns=now_ns)
        if isinstance(step, Dispatch):
            parts = tuple(
                part._replace(rows=part.rows - 1) if 1 < part.rows < part.ticket.rows else part
                for part in step.parts
            )
            return replace(step, parts=parts, rows=sum(part.rows for part in parts))
        return step


class DisplacesItsEquals(Scheduler):
    """Lets whoever comes push out whoever waits."""

    def _displace(
        self, ticket: Ticket, parts: Sequence[Part], terms: Terms, free: Sequence[int]
    ) -> tuple[Ticket, ...] | None:
        return super()._displace(ticket._replace(importance=0), parts, terms, free)


class ForgetsTheDisplaced(Scheduler):
    """Makes room, and tells nobody."""

    def offer(self, ticket: Ticket, *, now_ns: int) -> Admitted | Rejected:
        verdict = super().offer(ticket, now_ns=now_ns)
        return replace(verdict, displaced=()) if isinstance(verdict, Admitted) else verdict


class SeesNothingStuck(Scheduler):
    """Believes that every run will come back."""

    def stuck(self, *, now_ns: int) -> tuple[Stuck, ...]:
        return ()


class NeverHeals(Scheduler):
    """Believes for ever what it has learned, and never tries."""

    def offer(self, ticket: Ticket, *, now_ns: int) -> Admitted | Rejected:
        self._terms[ticket.lane].cost._taught_ns = None  # as if silence had not begun
        return super().offer(ticket, now_ns=now_ns)

    def _probe(self, ticket: Ticket, terms: Terms, now_ns: int) -> Admitted | None:
        return None


class LearnsFromStalls(Scheduler):
    """Takes a stopped process for a slow machine."""

    def complete(self, executor: int, run: RunTime | None, *, now_ns: int) -> float | None:
        ratio = super().complete(executor, run, now_ns=now_ns)
        if ratio is not None and ratio > 4.0:
            for terms in self._terms.values():
                terms.cost.line.scale(ratio)
        return ratio


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
    ForgetsTheDisplaced: "one_ending",
    CancelsTheRunning: "cancel_is_truthful",
    LearnsFromFailures: "failures_teach_nothing",
    ExpiresLate: "told_in_time",
    IgnoresRowsMax: "bounded_runs",
    FillsUpToTheDeadline: "runs_leave_room",
    WaitsForCompany: "never_idle",
    StartsLater: "starts_at_once",
    LastComeFirstServed: "most_urgent_first",
    AdmitsAll: "bounded_plan",
    SplitsWithGaps: "scored_whole",
    DisplacesItsEquals: "displaces_the_lesser",
    SeesNothingStuck: "stuck_is_named",
}
"""Each mutant with the invariant that has to catch it. `TossesCoins` is caught by the digests, `NeverHeals`
and `LearnsFromStalls` by the promises."""
