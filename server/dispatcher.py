"""The shell that obeys the scheduler: locks, threads and timers live here and only here.

An executor is a thread that pulls: when its run ends it reports, asks the scheduler for the next batch in the
same critical section, and sleeps only when nothing waits. So a batch is formed at the last instant, from all
that has arrived, and no executor ever waits for the event loop (docs/decisions.md, executors pull). Waiters
are settled on the loop, and only there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NoReturn

from server import refusals
from server.core.decisions import Admitted, Dispatch, Idle, Lane, Part, Rejected, Snapshot, Stuck, Ticket
from server.core.policy import Policy
from server.domain import Payload, Scored, TokensRun
from server.engine.api import EngineError
from server.engine.by_length import ByLength
from server.errors import Reason, Refusal, Refused
from server.metrics import Metrics
from server.run import LaneRuntime, Result, clock_ns, run
from server.turns import Turns
from server.waiter import Settle, Waiter

TICK_NS = 1_000_000
"""uvloop's timers round to a millisecond: an expired request is answered within two."""
CURVE_ROWS = (1, 20, 100, 500, 1000)
"""Candidates of one request for which `costs` tells the predicted time."""
WAY_NS = 1_000_000
"""Of an answer's time, what our clock does not see: on the way in before we read it, on the way out."""
WATCH_S = 0.01
"""While anything runs, stuck runs are looked for this often."""


class Dispatcher:
    """Takes admitted requests through the scheduler and the executors."""

    def __init__(self, scheduler: Policy, executors: int, metrics: Metrics, log: Any) -> None:
        self._lock = threading.Lock()  # guards the scheduler, _waiters, _running and _missed
        self._scheduler = scheduler
        self._waiters: dict[int, Waiter] = {}  # of whom a part has not been dispatched
        self._running: list[list[Waiter]] = [[] for _ in range(executors)]
        self._missed: dict[Lane, int] = {}  # expired since the lane's last run
        self._metrics = metrics
        self._log = log
        self._runtimes: dict[Lane, LaneRuntime] = {}
        self._tickets = 0
        self._turns = Turns()
        self._asleep: list[SimpleQueue[None]] = []  # one wake-up slot per sleeping executor
        self._executors = executors
        self._stopping = False
        self._wake_due = False
        self._braked: set[int] = set()  # executors whose hopeless run has been told to end
        self.lost = False
        """No executor is left that comes back: nothing can be served here."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._watcher: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, runtimes: Mapping[Lane, LaneRuntime]) -> None:
        """Start the executors on the running event loop; lanes must be in the scheduler already."""
        self._loop = asyncio.get_running_loop()
        self._runtimes.update(runtimes)
        for executor in range(self._executors):
            threading.Thread(
                target=self._execute, args=(executor,), name=f"executor-{executor}", daemon=True
            ).start()

    def stop(self) -> None:
        """End the executors after their current run."""
        for timer in (self._timer, self._watcher):
            if timer is not None:
                timer.cancel()
        with self._lock:
            self._stopping = True
            for slot in self._asleep:
                slot.put(None)

    def look(self, ticket: Ticket) -> None:
        """Refuse in an overload what has not been read yet and would be refused.

        Raises:
            Refused: there is no room.
        """
        with self._lock:
            now_ns = clock_ns()
            verdict = self._scheduler.look(ticket, now_ns=now_ns)
        if verdict is not None:
            self._refuse(verdict, now_ns)

    def submit(self, ticket: Ticket, payload: Payload, settle: Settle) -> int:
        """Have one request scored; `settle` is told the outcome later, never from within.

        Returns:
            The instant at which it was admitted.

        Raises:
            Refused: not admitted.
        """
        waiter = Waiter(ticket, payload, settle)
        gone: list[Waiter] = []
        planned_ns = 0
        with self._lock:
            offered_ns = clock_ns()
            verdict = self._scheduler.offer(ticket, now_ns=offered_ns)
            if isinstance(verdict, Admitted):
                waiter.parts = verdict.parts
                self._waiters[ticket.id] = waiter
                if verdict.displaced:
                    gone = [self._waiters.pop(victim.id) for victim in verdict.displaced]
                    planned_ns = self._scheduler.snapshot(now_ns=offered_ns).planned_work_ns
        if not isinstance(verdict, Admitted):
            self._refuse(verdict, offered_ns)
        for victim in gone:
            self._settle(victim, refusals.displaced(planned_ns))
        self._wake_soon()
        return offered_ns

    def number(self) -> int:
        """The next ticket's id."""
        self._tickets += 1
        return self._tickets

    def cancel(self, ticket: Ticket) -> None:
        """Take a request out, if it still waits; one that runs is settled all the same."""
        with self._lock:
            self._forget(ticket)

    def snapshot(self) -> Snapshot:
        """Numbers for gauges; any thread may ask."""
        with self._lock:
            return self._scheduler.snapshot(now_ns=clock_ns())

    def costs(self) -> dict[Lane, dict[str, Any]]:
        """What each lane's cost model and margin have learned, as plain numbers; any thread may ask."""
        with self._lock:
            return {
                lane: {
                    **terms.cost.state(),
                    "margin_ns": terms.margin.ns,
                    "chunk_ns": terms.chunk_ns,
                    "row_load": (row_load := self._row_load(lane)),
                    "predicted_ns": {
                        rows: terms.cost.predict_ns(1, round(rows * row_load)) for rows in CURVE_ROWS
                    },
                }
                for lane, terms in self._scheduler.terms.items()
            }

    def tokens(self) -> dict[tuple[str, str], TokensRun]:
        """Tokens run so far by (model, variant), where candidates have lengths; any thread may ask."""
        found: dict[tuple[str, str], TokensRun] = {}
        for lane, runtime in list(self._runtimes.items()):
            if isinstance(runtime.engine, ByLength):
                key, run = (lane.model, lane.variant), runtime.engine.run_so_far
                before = found.get(key, TokensRun())
                found[key] = TokensRun(before.tokens + run.tokens, before.computed + run.computed)
        return found

    def _row_load(self, lane: Lane) -> float:
        runtime = self._runtimes.get(lane)
        return 1.0 if runtime is None else runtime.row_load

    def _refuse(self, verdict: Rejected, now_ns: int) -> NoReturn:
        if verdict.reason is Reason.OVERLOADED:
            self._turns.refused(now_ns)
        raise Refused(refusals.rejected(verdict))

    def _forget(self, ticket: Ticket) -> None:
        if self._scheduler.cancel(ticket):
            self._waiters.pop(ticket.id, None)

    def _wake_soon(self) -> None:
        # Later in this turn of the loop: requests decoded in the same turn share a run, and nobody waits.
        if not self._wake_due:
            self._wake_due = True
            assert self._loop is not None
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._wake_due = False
        self._turns.taken(clock_ns())
        with self._lock:
            at_ns = self._scheduler.next_expiry_ns()
            while self._asleep:  # all: one turn of the loop may have brought work for several
                self._asleep.pop().put(None)
        self._set_timer(at_ns)
        if self._watcher is None:
            self._watch_again()

    def _expire(self) -> None:
        """Answer those who can no longer finish, even while every executor is stuck; then set the timer."""
        with self._lock:
            now_ns = clock_ns()
            gone = [self._leave_late(ticket) for ticket in self._scheduler.expire(now_ns=now_ns)]
            at_ns = self._scheduler.next_expiry_ns()
        self._settle_late(gone, now_ns)
        self._timer = None
        self._set_timer(at_ns)

    def _set_timer(self, at_ns: int | None) -> None:
        """Look at who expires first a tick late rather than early: an early timer would only be set again.

        One that will come soon enough is left alone, whoever it was set for: each interrupts a run.
        """
        if at_ns is None:
            return
        at_ns += TICK_NS
        if self._timer is not None:
            if self._timer_ns <= at_ns:
                return
            self._timer.cancel()
        assert self._loop is not None
        self._timer_ns = at_ns
        self._timer = self._loop.call_later(max(at_ns - clock_ns(), 0) / 1e9, self._expire)

    def _leave_late(self, ticket: Ticket) -> Waiter:
        self._missed[ticket.lane] = self._missed.get(ticket.lane, 0) + 1
        return self._waiters.pop(ticket.id)

    def _settle_late(self, waiters: Sequence[Waiter], now_ns: int) -> None:
        for waiter in waiters:
            self._settle(waiter, refusals.expired(waiter.ticket, now_ns))

    def _watch_again(self) -> None:
        assert self._loop is not None
        self._watcher = self._loop.call_later(WATCH_S, self._watch)

    def _watch(self) -> None:
        """Do not let anybody wait for a run that is stuck; end it by force if it stays so."""
        with self._lock:
            now_ns = clock_ns()
            stuck = self._scheduler.stuck(now_ns=now_ns)
            lost = [
                waiter
                for entry in stuck
                for waiter in self._running[entry.executor]
                if not waiter.told and waiter.ticket.deadline_ns < now_ns
            ]
            for waiter in lost:
                self._forget(waiter.ticket)
            busy = bool(self._waiters) or any(self._running)
        for waiter in lost:
            self._settle(waiter, refusals.lost())
        for entry in stuck:
            # Not while somebody has time left: the run may yet come back, by force it gives nothing.
            if entry.hopeless and all(waiter.told for waiter in self._running[entry.executor]):
                self._brake(entry)
        self.lost = sum(entry.hopeless for entry in stuck) == self._executors
        self._watcher = None
        if busy:
            self._watch_again()

    def _brake(self, entry: Stuck) -> None:
        if entry.executor in self._braked:
            return
        self._braked.add(entry.executor)
        lane = entry.dispatch.lane
        self._log.error("run is stuck and will be ended", model=lane.model, variant=lane.variant)
        self._runtimes[lane].brakes[entry.executor].pull()

    def _execute(self, executor: int) -> None:
        """The executor's thread: pull, run, report."""
        assert self._loop is not None
        turns = self._turns
        turns.stand_back()
        slot: SimpleQueue[None] = SimpleQueue()
        result: Result | None = None
        while True:
            if result is not None:
                if not self._report(executor, result):
                    return
                result = None
                turns.step_aside()
            with self._lock:  # decide under the lock; act outside it
                step = self._scheduler.step(executor, now_ns=clock_ns())
                given_up = [self._leave_late(ticket) for ticket in step.given_up]
                if isinstance(step, Dispatch):
                    waiters = [self._waiter(part) for part in step.parts]
                    self._running[executor] = waiters
                else:
                    self._asleep.append(slot)
                if self._stopping:
                    return
            if given_up:
                self._loop.call_soon_threadsafe(self._settle_late, given_up, clock_ns())
            if isinstance(step, Dispatch):
                turns.begin(step.alone_ns)
                result = run(step, self._runtimes[step.lane], waiters)
            else:
                self._sleep(slot, step)

    def _report(self, executor: int, result: Result) -> bool:
        """A run has ended; False if there is no loop left to be told."""
        assert self._loop is not None
        with self._lock:
            self._running[executor] = []
            ratio = self._scheduler.complete(executor, result.time, now_ns=clock_ns())
        try:
            self._loop.call_soon_threadsafe(self._finished, result, ratio)
        except RuntimeError:  # closed under a run
            return False
        return True

    def _sleep(self, slot: SimpleQueue[None], idle: Idle) -> None:
        if idle.until_ns is None:
            slot.get()
            return
        try:
            slot.get(timeout=max(idle.until_ns - clock_ns(), 0) / 1e9)
        except Empty:
            with self._lock:
                if slot in self._asleep:
                    self._asleep.remove(slot)
                else:  # woken in the same instant
                    slot.get()

    def _waiter(self, part: Part) -> Waiter:
        """Who waits for a part; a ticket's last one is waited for nowhere else."""
        ticket = part.ticket
        waiter = self._waiters[ticket.id]
        if waiter.part_goes():
            del self._waiters[ticket.id]
        return waiter

    def _settle(self, waiter: Waiter, outcome: Scored | Refusal) -> None:
        if waiter.told:
            return
        waiter.told = True
        try:
            waiter.settle(outcome)
        except Exception:  # a fault of ours, and one request's; the rest of the run is still to be told
            self._log.exception("settling failed", model=waiter.ticket.lane.model)

    def _finished(self, result: Result, ratio: float | None) -> None:
        dispatch, metrics = result.dispatch, self._metrics
        self._turns.taken(clock_ns())
        self._braked.discard(dispatch.executor)
        self.lost = False
        for part, waiter, outcome in zip(dispatch.parts, result.waiters, result.outcomes, strict=True):
            if waiter.told:
                continue
            known = waiter.collect(part, outcome)
            if known is not None:
                self._settle(waiter, known)
                if isinstance(known, Refusal) and waiter.parts > 1:
                    self.cancel(waiter.ticket)
        self._account(result)
        lane = dispatch.lane
        metrics.batch_rows.observe(dispatch.rows, lane.model)
        metrics.batch_requests.observe(len(dispatch.parts), lane.model)
        metrics.executor_busy.add(str(dispatch.executor), amount=result.busy_ns / 1e9)
        if result.padding is not None:
            metrics.padding_ratio.observe(result.padding, lane.model)
        if ratio is not None:
            metrics.prediction_ratio.observe(ratio, lane.model, lane.variant)
        if result.error is not None:
            cause = f"{result.error}" if isinstance(result.error, EngineError) else repr(result.error)
            self._log.error("run failed", model=lane.model, variant=lane.variant, error=cause)

    def _account(self, result: Result) -> None:
        """What the run says about the margin: how many of its requests are answered late, by now."""
        if result.time is None:
            return
        lane = result.dispatch.lane
        with self._lock:
            told_ns = clock_ns() + WAY_NS
            late = sum(waiter.ticket.deadline_ns < told_ns for waiter in result.waiters)
            missed = self._missed.pop(lane, 0)
            requests = len(result.waiters) + missed
            self._scheduler.answered(lane, late=late + missed, requests=requests)
