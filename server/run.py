"""One run on an executor's thread: pack, score, split. A failed batch is tried again one by one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.core.decisions import Dispatch, Part, RunTime
from server.domain import Payload, RunStamps, Scored, Scores
from server.engine.api import Brake, Engine
from server.engine.tensors import Packer, split
from server.errors import Reason, Refusal
from server.refusals import expired
from server.waiter import Waiter

clock_ns = time.monotonic_ns
"""The one clock: monotonic nanoseconds."""


@dataclass(frozen=True, slots=True)
class LaneRuntime:
    """What executors need to run a lane: the engine, and for each executor a packer and a brake.

    Attributes:
        row_load: what a candidate costs on average, in what the lane counts: 1 row, or so many tokens.
    """

    engine: Engine
    packers: Sequence[Packer]
    brakes: Sequence[Brake]
    row_load: float = 1.0


@dataclass(frozen=True, slots=True)
class Result:
    """One finished run: per part an outcome.

    Attributes:
        time: of the whole batch, pack to split; None when it failed.
    """

    dispatch: Dispatch
    waiters: Sequence[Waiter]
    outcomes: Sequence[Scored | Refusal]
    time: RunTime | None
    busy_ns: int
    error: Exception | None


def run(dispatch: Dispatch, runtime: LaneRuntime, waiters: Sequence[Waiter]) -> Result:
    """Score a dispatch; whatever happens, every part gets an outcome and the executor lives on."""
    began_ns = clock_ns()
    cpu_began_ns = time.thread_time_ns()
    try:
        scored = _run_together(dispatch.executor, runtime, dispatch.parts, waiters)
        cpu_ns = time.thread_time_ns() - cpu_began_ns if runtime.engine.computes_here else None
        took_ns = clock_ns() - began_ns
        return Result(dispatch, waiters, scored, RunTime(took_ns, cpu_ns), took_ns, None)
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
    packer, brake = runtime.packers[executor], runtime.brakes[executor]
    counts = [payload.rows for payload in payloads]
    groups = packer.groups(counts)
    if len(groups) > 1:
        return _run_in_turn(runtime.engine, packer, brake, payloads, groups)
    batch = packer.pack(payloads)
    formed_ns = clock_ns()
    heads: Mapping[str, Scores] = runtime.engine.run(batch, brake)
    stamps = RunStamps(started_ns, formed_ns, clock_ns(), batch.rows, len(payloads))
    return [Scored(part, stamps) for part in split(heads, counts)]


def _run_in_turn(
    engine: Engine,
    packer: Packer,
    brake: Brake,
    payloads: Sequence[Payload],
    groups: Sequence[Sequence[int]],
) -> list[Scored]:
    """One batch after another; all of them are one run, and its requests are answered when it ends."""
    started_ns = clock_ns()
    parts: dict[int, Mapping[str, Scores]] = {}
    forming_ns = 0
    for group in groups:
        began_ns = clock_ns()
        batch = packer.pack([payloads[place] for place in group])
        forming_ns += clock_ns() - began_ns
        heads = engine.run(batch, brake)
        parts.update(zip(group, split(heads, [payloads[place].rows for place in group]), strict=True))
    rows = sum(payload.rows for payload in payloads)
    stamps = RunStamps(started_ns, started_ns + forming_ns, clock_ns(), rows, len(payloads))
    return [Scored(parts[place], stamps) for place in range(len(payloads))]
