"""One run on an executor's thread: pack, score, split. A failed batch is tried again one by one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.core.decisions import Dispatch, Part, RunTime
from server.domain import RunStamps, Scored, Scores
from server.engine.api import Brake, Engine
from server.engine.tensors import Packer, split
from server.errors import Reason, Refusal
from server.refusals import expired
from server.waiter import Waiter

clock_ns = time.monotonic_ns
"""The one clock: monotonic nanoseconds."""


@dataclass(frozen=True, slots=True)
class LaneRuntime:
    """What executors need to run a lane: the engine, and for each executor a packer and a brake."""

    engine: Engine
    packers: Sequence[Packer]
    brakes: Sequence[Brake]


@dataclass(frozen=True, slots=True)
class Result:
    """One finished run: per part an outcome.

    Attributes:
        time: of the whole batch, pack to split; None when it failed.
        padding: see `Packer.padding`; None when the batch failed, too.
    """

    dispatch: Dispatch
    waiters: Sequence[Waiter]
    outcomes: Sequence[Scored | Refusal]
    time: RunTime | None
    busy_ns: int
    error: Exception | None
    padding: float | None = None


def run(dispatch: Dispatch, runtime: LaneRuntime, waiters: Sequence[Waiter]) -> Result:
    """Score a dispatch; whatever happens, every part gets an outcome and the executor lives on."""
    began_ns = clock_ns()
    cpu_began_ns = time.thread_time_ns()
    try:
        scored = _run_together(dispatch.executor, runtime, dispatch.parts, waiters)
        cpu_ns = time.thread_time_ns() - cpu_began_ns if runtime.engine.computes_here else None
        took_ns = clock_ns() - began_ns
        padding = runtime.packers[dispatch.executor].padding
        return Result(dispatch, waiters, scored, RunTime(took_ns, cpu_ns), took_ns, None, padding)
    except Exception as error:  # a family without a common base
        mates = len(waiters)
        outcomes = [
            _run_alone(dispatch.executor, runtime, part, waiter, mates)
            for part, waiter in zip(dispatch.parts, waiters, strict=True)
        ]
        return Result(dispatch, waiters, outcomes, None, clock_ns() - began_ns, error)


def _run_alone(
    executor: int, runtime: LaneRuntime, part: Part, waiter: Waiter, mates: int
) -> Scored | Refusal:
    """Second chance of a request whose batch failed; a request that was alone has had it."""
    if mates > 1:
        now_ns = clock_ns()
        if now_ns > waiter.ticket.deadline_ns:
            return expired(waiter.ticket, now_ns)
        with contextlib.suppress(Exception):  # logged once, for the batch
            return _run_together(executor, runtime, [part], [waiter])[0]
    return Refusal(Reason.EXECUTION_FAILED, "The model's run failed for this request.")


def _run_together(
    executor: int, runtime: LaneRuntime, parts: Sequence[Part], waiters: Sequence[Waiter]
) -> list[Scored]:
    started_ns = clock_ns()
    payloads = [waiter.payload_of(part) for part, waiter in zip(parts, waiters, strict=True)]
    batch = runtime.packers[executor].pack(payloads)
    formed_ns = clock_ns()
    heads: Mapping[str, Scores] = runtime.engine.run(batch, runtime.brakes[executor])
    stamps = RunStamps(started_ns, formed_ns, clock_ns(), batch.rows, len(payloads))
    return [Scored(part, stamps) for part in split(heads, [payload.rows for payload in payloads])]
