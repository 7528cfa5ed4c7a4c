"""The shell that obeys the scheduler: clocks, threads and timers live here and only here.

An executor is a thread that pulls: when its run ends it reports, asks the scheduler for the next batch in the
same critical section, and sleeps only when nothing waits. So a batch is formed at the last instant, from all
that has arrived, and no executor ever waits for the event loop (docs/decisions.md, executors pull). Waiters
are settled on the loop, and only there.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, NamedTuple

from server import tuning
from server.core.decisions import Admitted, Dispatch, Lane, Rejected, Snapshot, Ticket
from server.core.scheduler import Scheduler
from server.domain import Payload, RunStamps, Scored, Scores
from server.engine.api import Engine, EngineError
from server.engine.tensors import Packer, split
from server.errors import Reason, Refusal, Refused
from server.metrics import Metrics

clock_ns = time.monotonic_ns
"""The one clock: monotonic nanoseconds."""
TIMER_TICK_S = 0.001
"""uvloop's timers round to a millisecond."""
TIMER_S_MAX = 0.005
"""While anything waits, expiry is looked at this often: an expired request is answered within 6 ms."""


Settle = Callable[[Scored | Refusal], None]
"""Told a request's outcome, once, on the loop; it does not raise."""


@dataclass(frozen=True, slots=True)
class LaneRuntime:
    """What executors need to run a lane: the engine, and one packer per executor."""

    engine: Engine
    packers: Sequence[Packer]


class _Waiter(NamedTuple):
    ticket: Ticket
    payload: Payload
    settle: Settle


@dataclass(frozen=True, slots=True)
class _Result:
    """One finished run: per waiter an outcome.

    Attributes:
        run_ns: of the whole batch, pack to split; None when it failed.
    """

    dispatch: Dispatch
    waiters: Sequence[_Waiter]
    outcomes: Sequence[Scored | Refusal]
    run_ns: int | None
    busy_ns: int
    error: Exception | None


class Dispatcher:
    """Takes admitted requests through the scheduler and the executors."""

    def __init__(self, scheduler: Scheduler, executors: int, metrics: Metrics, log: Any) -> None:
        self._lock = threading.Lock()  # guards the scheduler and _waiters
        self._scheduler = scheduler
        self._waiters: dict[int, _Waiter] = {}
        self._metrics = metrics
        self._log = log
        self._runtimes: dict[Lane, LaneRuntime] = {}
        self._tickets = 0
        self._asleep: list[SimpleQueue[None]] = []  # one wake-up slot per sleeping executor
        self._executors = executors
        self._stopping = False
        self._wake_due = False
        self._timer: asyncio.TimerHandle | None = None
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
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._stopping = True
            for slot in self._asleep:
                slot.put(None)

    def submit(
        self, lane: Lane, payload: Payload, arrival_ns: int, deadline_ns: int, settle: Settle
    ) -> tuple[Ticket, int]:
        """Have one request scored; `settle` is told the outcome later, never from within.

        Returns:
            The ticket, good for `cancel`, and the instant it was admitted.

        Raises:
            Refused: not admitted.
        """
        self._tickets += 1
        ticket = Ticket(self._tickets, lane, payload.rows, arrival_ns, deadline_ns)
        waiter = _Waiter(ticket, payload, settle)
        with self._lock:
            offered_ns = clock_ns()
            verdict = self._scheduler.offer(ticket, now_ns=offered_ns)
            if isinstance(verdict, Admitted):
                self._waiters[ticket.id] = waiter
        if isinstance(verdict, Rejected):
            raise Refused(_refusal(verdict))
        self._wake_soon()
        return ticket, offered_ns

    def cancel(self, ticket: Ticket) -> None:
        """Take a request out, if it still waits; one that runs is settled all the same."""
        with self._lock:
            if self._scheduler.cancel(ticket):
                del self._waiters[ticket.id]

    def snapshot(self) -> Snapshot:
        """Numbers for gauges; any thread may ask."""
        with self._lock:
            return self._scheduler.snapshot(now_ns=clock_ns())

    def _wake_soon(self) -> None:
        # Later in this turn of the loop: requests decoded in the same turn share a run, and nobody waits.
        if not self._wake_due:
            self._wake_due = True
            assert self._loop is not None
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._wake_due = False
        with self._lock:
            while self._asleep:  # all: one turn of the loop may have brought work for several
                self._asleep.pop().put(None)
        if self._timer is None:
            self._expire()

    def _expire(self) -> None:
        """Answer those who can no longer finish, even while every executor is stuck; then set the timer."""
        with self._lock:
            now_ns = clock_ns()
            gone = [self._waiters.pop(ticket.id) for ticket in self._scheduler.expire(now_ns=now_ns)]
            at_ns = self._scheduler.next_expiry_ns()
        for waiter in gone:
            self._settle(waiter, _expired(waiter.ticket, now_ns))
        self._timer = None
        if at_ns is not None:
            assert self._loop is not None
            # A tick late rather than early: an early timer would only be set again. Requests that come later
            # with less time left are looked at by the executors, or within TIMER_S_MAX.
            delay_s = min((at_ns - now_ns) / 1e9 + TIMER_TICK_S, TIMER_S_MAX)
            self._timer = self._loop.call_later(delay_s, self._expire)

    def _execute(self, executor: int) -> None:
        """The executor's thread: pull, run, report."""
        assert self._loop is not None
        tuning.stand_back()
        slot: SimpleQueue[None] = SimpleQueue()
        result: _Result | None = None
        while True:
            with self._lock:  # decide under the lock; act outside it
                ratio = None
                if result is not None:
                    ratio = self._scheduler.complete(executor, run_ns=result.run_ns)
                step = self._scheduler.step(executor, now_ns=clock_ns())
                if isinstance(step, Dispatch):
                    waiters = [self._waiters.pop(ticket.id) for ticket in step.tickets]
                else:
                    self._asleep.append(slot)
                if self._stopping:
                    return
            if result is not None:
                try:
                    self._loop.call_soon_threadsafe(self._finished, result, ratio)
                except RuntimeError:  # the loop was closed under a run
                    return
                result = None
            if isinstance(step, Dispatch):
                result = _run(step, self._runtimes[step.lane], waiters)
            else:
                slot.get()

    def _settle(self, waiter: _Waiter, outcome: Scored | Refusal) -> None:
        try:
            waiter.settle(outcome)
        except Exception:  # a fault of ours, and one request's; the rest of the run is still to be told
            self._log.exception("settling failed", model=waiter.ticket.lane.model)

    def _finished(self, result: _Result, ratio: float | None) -> None:
        for waiter, outcome in zip(result.waiters, result.outcomes, strict=True):
            self._settle(waiter, outcome)
        dispatch, metrics = result.dispatch, self._metrics
        lane = dispatch.lane
        metrics.batch_rows.observe(dispatch.rows, lane.model)
        metrics.batch_requests.observe(len(dispatch.tickets), lane.model)
        metrics.executor_busy.add(str(dispatch.executor), amount=result.busy_ns / 1e9)
        if ratio is not None:
            metrics.prediction_ratio.observe(ratio, lane.model, lane.variant)
        if result.error is not None:
            cause = f"{result.error}" if isinstance(result.error, EngineError) else repr(result.error)
            self._log.error("run failed", model=lane.model, variant=lane.variant, error=cause)


def _run(dispatch: Dispatch, runtime: LaneRuntime, waiters: Sequence[_Waiter]) -> _Result:
    """Pack, run and split, on the executor's thread. A failed batch is tried again one by one."""
    began_ns = clock_ns()
    try:
        scored = _run_together(dispatch.executor, runtime, waiters)
        ended_ns = clock_ns()
        return _Result(dispatch, waiters, scored, ended_ns - began_ns, ended_ns - began_ns, None)
    except Exception as error:  # whatever it was, these requests get an answer and the executor lives on
        outcomes = [_run_alone(dispatch.executor, runtime, waiter, len(waiters)) for waiter in waiters]
        return _Result(dispatch, waiters, outcomes, None, clock_ns() - began_ns, error)


def _run_alone(executor: int, runtime: LaneRuntime, waiter: _Waiter, mates: int) -> Scored | Refusal:
    """Second chance of a request whose batch failed; a request that was alone has had it."""
    if mates > 1:
        if clock_ns() > waiter.ticket.deadline_ns:
            return _expired(waiter.ticket, clock_ns())
        with contextlib.suppress(Exception):  # logged once, for the batch
            return _run_together(executor, runtime, [waiter])[0]
    return Refusal(Reason.EXECUTION_FAILED, "The model's run failed for this request.")


def _run_together(executor: int, runtime: LaneRuntime, waiters: Sequence[_Waiter]) -> list[Scored]:
    started_ns = clock_ns()
    payloads = [waiter.payload for waiter in waiters]
    batch = runtime.packers[executor].pack(payloads)
    formed_ns = clock_ns()
    heads: Mapping[str, Scores] = runtime.engine.run(batch)
    stamps = RunStamps(started_ns, formed_ns, clock_ns(), batch.rows, len(payloads))
    return [Scored(part, stamps) for part in split(heads, [payload.rows for payload in payloads])]


def _expired(ticket: Ticket, now_ns: int) -> Refusal:
    waited_ms = (now_ns - ticket.arrival_ns) / 1e6
    return Refusal(
        Reason.EXPIRED_IN_QUEUE, f"Waited {waited_ms:.1f} ms; it could no longer finish by its deadline."
    )


def _refusal(rejected: Rejected) -> Refusal:
    if rejected.reason is Reason.DEADLINE_TOO_SHORT:
        needed_ms = rejected.minimum_ns / 1e6
        return Refusal(
            rejected.reason, f"Even an idle server needs about {needed_ms:.1f} ms for this request."
        )
    retry_ms = max(1, -(-(rejected.retry_after_ns or 0) // 1_000_000))
    return Refusal(rejected.reason, f"Too busy to finish in time; try again in {retry_ms} ms.", "", retry_ms)
