"""The shell that obeys the scheduler: clocks, threads, timers and futures live here and only here.

The event loop owns all state. An executor is a thread with a one-element slot: it packs, runs and splits one
batch, posts the result to the loop and takes the next. `settle` is the one function that touches a waiter.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from server.core.decisions import Admitted, Dispatch, Lane, Rejected, SleepUntil, Snapshot, Ticket
from server.core.scheduler import Scheduler
from server.domain import Payload, RunStamps, Scored, Scores
from server.engine.api import Engine, EngineError
from server.engine.tensors import Packer, split
from server.errors import Reason, Refusal, Refused
from server.metrics import Metrics

clock_ns = time.monotonic_ns
"""The one clock: monotonic nanoseconds."""


@dataclass(frozen=True, slots=True)
class LaneRuntime:
    """What executors need to run a lane: the engine, and one packer per executor."""

    engine: Engine
    packers: Sequence[Packer]


@dataclass(frozen=True, slots=True)
class _Waiter:
    ticket: Ticket
    payload: Payload
    future: asyncio.Future[Scored]


@dataclass(frozen=True, slots=True)
class _Job:
    dispatch: Dispatch
    runtime: LaneRuntime
    waiters: tuple[_Waiter, ...]
    dispatched_ns: int


@dataclass(frozen=True, slots=True)
class _Result:
    """Per waiter an outcome; `run_ns` of the whole batch, None when it failed."""

    outcomes: Sequence[Scored | Refusal]
    run_ns: int | None
    busy_ns: int
    error: EngineError | None


class Dispatcher:
    """Takes admitted requests through the scheduler and the executors."""

    def __init__(self, scheduler: Scheduler, executors: int, metrics: Metrics, log: Any) -> None:
        self._scheduler = scheduler
        self._metrics = metrics
        self._log = log
        self._runtimes: dict[Lane, LaneRuntime] = {}
        self._waiters: dict[int, _Waiter] = {}
        self._tickets = 0
        self._pump_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._slots: list[SimpleQueue[_Job | None]] = [SimpleQueue() for _ in range(executors)]
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, runtimes: Mapping[Lane, LaneRuntime]) -> None:
        """Start the executors on the running event loop; lanes must be in the scheduler already."""
        self._loop = asyncio.get_running_loop()
        self._runtimes.update(runtimes)
        for executor, slot in enumerate(self._slots):
            thread = threading.Thread(
                target=self._execute, args=(executor, slot), name=f"executor-{executor}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the executors after their current run."""
        if self._timer is not None:
            self._timer.cancel()
        for slot in self._slots:
            slot.put(None)

    async def submit(
        self, lane: Lane, payload: Payload, arrival_ns: int, deadline_ns: int
    ) -> tuple[Scored, int]:
        """Score one request; return its scores and the instant it was admitted.

        Raises:
            Refused: not admitted, expired while waiting, or its run failed.
        """
        assert self._loop is not None
        self._tickets += 1
        ticket = Ticket(self._tickets, lane, payload.rows, arrival_ns, deadline_ns)
        offered_ns = clock_ns()
        match self._scheduler.offer(ticket, now_ns=offered_ns):
            case Rejected() as rejected:
                raise Refused(_refusal(rejected))
            case Admitted():
                pass
        waiter = _Waiter(ticket, payload, self._loop.create_future())
        self._waiters[ticket.id] = waiter
        self._pump_soon()
        try:
            return await waiter.future, offered_ns
        except asyncio.CancelledError:
            self._scheduler.cancel(ticket)
            raise
        finally:
            self._waiters.pop(ticket.id, None)

    def snapshot(self) -> Snapshot:
        """Numbers for gauges; reads only, so that any thread may ask."""
        return self._scheduler.snapshot(now_ns=clock_ns())

    def _pump_soon(self) -> None:
        # Later in this turn of the loop: requests decoded in the same turn share a run, and nobody waits.
        if not self._pump_due:
            self._pump_due = True
            assert self._loop is not None
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        now_ns = clock_ns()
        for ticket in self._scheduler.expire(now_ns=now_ns):
            waited_ms = (now_ns - ticket.arrival_ns) / 1e6
            sentence = f"Waited {waited_ms:.1f} ms; it could no longer finish by its deadline."
            settle(self._waiters[ticket.id].future, Refusal(Reason.EXPIRED_IN_QUEUE, sentence))
        while isinstance(step := self._scheduler.step(now_ns=now_ns), Dispatch):
            self._hand_off(step, now_ns)
        if isinstance(step, SleepUntil):
            self._wake_at(step.at_ns, now_ns)

    def _hand_off(self, dispatch: Dispatch, now_ns: int) -> None:
        waiters = tuple(self._waiters[ticket.id] for ticket in dispatch.tickets)
        self._slots[dispatch.executor].put(_Job(dispatch, self._runtimes[dispatch.lane], waiters, now_ns))

    def _wake_at(self, at_ns: int, now_ns: int) -> None:
        if self._timer is not None:
            if not self._timer.cancelled() and now_ns < self._timer_ns <= at_ns:
                return  # it fires early enough, and will look again
            self._timer.cancel()
        assert self._loop is not None
        # One tick late rather than early: an early timer would only be set again.
        self._timer_ns = at_ns + 1_000_000
        self._timer = self._loop.call_later((self._timer_ns - now_ns) / 1e9, self._pump)

    def _finished(self, job: _Job, result: _Result) -> None:
        dispatch = job.dispatch
        ratio = self._scheduler.complete(dispatch.executor, run_ns=result.run_ns)
        self._pump()  # the executor first: replies can wait for it, it must not wait for replies
        for waiter, outcome in zip(job.waiters, result.outcomes, strict=True):
            settle(waiter.future, outcome)
        lane, metrics = dispatch.lane, self._metrics
        metrics.batch_rows.observe(dispatch.rows, lane.model)
        metrics.batch_requests.observe(len(dispatch.tickets), lane.model)
        metrics.executor_busy.add(str(dispatch.executor), amount=result.busy_ns / 1e9)
        if ratio is not None:
            metrics.prediction_ratio.observe(ratio, lane.model, lane.variant)
        if result.error is not None:
            self._log.error("run failed", model=lane.model, variant=lane.variant, error=str(result.error))

    def _execute(self, executor: int, slot: SimpleQueue[_Job | None]) -> None:
        assert self._loop is not None
        while (job := slot.get()) is not None:
            result = _run(job, executor)
            try:
                self._loop.call_soon_threadsafe(self._finished, job, result)
            except RuntimeError:  # the loop was closed under a run: a second SIGTERM
                return
            del job, result  # do not keep a batch alive while waiting for the next


def settle(future: asyncio.Future[Scored], outcome: Scored | Refusal) -> bool:
    """Give a waiter its outcome, on the loop. False if it has one or its caller has gone; never raises."""
    if future.done():
        return False
    if isinstance(outcome, Refusal):
        future.set_exception(Refused(outcome))
    else:
        future.set_result(outcome)
    return True


def _run(job: _Job, executor: int) -> _Result:
    """Pack, run and split, on the executor's thread. A failed batch is tried again one by one."""
    started_ns = clock_ns()
    try:
        scored, run_ns = _run_together(job, job.waiters, executor)
        return _Result(scored, run_ns, clock_ns() - started_ns, None)
    except EngineError as error:
        failed = Refusal(Reason.EXECUTION_FAILED, "The model's run failed for this request.")
        if len(job.waiters) == 1:
            return _Result([failed], None, clock_ns() - started_ns, error)
        outcomes: list[Scored | Refusal] = []
        for waiter in job.waiters:
            if clock_ns() > waiter.ticket.deadline_ns:
                outcomes.append(Refusal(Reason.EXPIRED_IN_QUEUE, "Its batch failed and its deadline passed."))
                continue
            try:
                outcomes += _run_together(job, (waiter,), executor)[0]
            except EngineError:
                outcomes.append(failed)
        return _Result(outcomes, None, clock_ns() - started_ns, error)


def _run_together(job: _Job, waiters: Sequence[_Waiter], executor: int) -> tuple[list[Scored], int]:
    started_ns = clock_ns()
    payloads = [waiter.payload for waiter in waiters]
    batch = job.runtime.packers[executor].pack(payloads)
    formed_ns = clock_ns()
    heads: Mapping[str, Scores] = job.runtime.engine.run(batch)
    ran_ns = clock_ns()
    stamps = RunStamps(job.dispatched_ns, started_ns, formed_ns, ran_ns, batch.rows, len(payloads))
    parts = split(heads, [payload.rows for payload in payloads])
    return [Scored(part, stamps) for part in parts], ran_ns - started_ns


def _refusal(rejected: Rejected) -> Refusal:
    minimum_ms = rejected.minimum_ns / 1e6
    if rejected.reason is Reason.DEADLINE_TOO_SHORT:
        sentence = f"Even an idle server needs about {minimum_ms:.1f} ms for this request."
        return Refusal(rejected.reason, sentence)
    retry_ms = max(1, -(-(rejected.retry_after_ns or 0) // 1_000_000))
    return Refusal(rejected.reason, f"Too busy to finish in time; try again in {retry_ms} ms.", "", retry_ms)
