"""The warm-up sweep: runs of several shapes, timed, from which a cost model starts."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from server.core.line import Point
from server.domain import Payload
from server.engine.api import Batch, Brake, Engine
from server.engine.by_length import ByLength
from server.engine.tensors import Packer

SHAPES = ((1, 1), (1, 512), (1, 64), (8, 64), (1, 256), (16, 512), (4, 128), (1, 16))
"""(requests, rows) of the runs, the most telling first: time may end the sweep."""
SHAPES_MIN = 2
"""Run once however long it takes: from one shape nobody can tell what is overhead and what is work."""
ROUNDS = 4
CALL_ROWS = 16
CALL_ROUNDS_MIN, CALL_ROUNDS_MAX = 3, 15


def sweep(
    payloads: Sequence[Payload], engine: Engine, packer: Packer, brake: Brake, seconds_max: float
) -> list[Point]:
    """Time runs of several shapes, round by round, for about `seconds_max`; at least two points.

    Args:
        payloads: requests to make the runs of, their candidates repeated as need be.
    """
    ends = time.perf_counter() + seconds_max
    shapes = [(requests, rows, _payloads(payloads, requests, rows)) for requests, rows in SHAPES]
    times_ns: list[list[int]] = [[] for _ in shapes]
    for _ in range(ROUNDS):
        for at, (_, _, parts) in enumerate(shapes):
            if at >= SHAPES_MIN and time.perf_counter() > ends:
                break
            times_ns[at].append(_time_ns(parts, engine, packer, brake))
        if time.perf_counter() > ends:
            break
    # The median, so that the first run's allocations do not count as the model's.
    return [
        Point(requests, sum(part.load for part in parts), sorted(took)[len(took) // 2])
        for (requests, _, parts), took in zip(shapes, times_ns, strict=True)
        if took
    ]


def call_tokens(payloads: Sequence[Payload], engine: ByLength, packer: Packer, seconds_max: float) -> float:
    """What one more engine call costs, in tokens: the same rows in one call and in two, both at one width.

    Args:
        payloads: requests to take rows of.
        seconds_max: about so long; three rounds are made in any case.
    """
    batch = packer.pack([_resized(payloads[0], CALL_ROWS)])
    assert batch.lengths is not None
    longest = int(batch.lengths.max())
    rows = np.arange(CALL_ROWS)
    whole = [engine.group(batch, rows, longest)]
    halves = [engine.group(batch, half, longest) for half in np.split(rows, 2)]
    ends = time.perf_counter() + seconds_max
    once_ns: list[int] = []
    twice_ns: list[int] = []
    while len(once_ns) < CALL_ROUNDS_MIN or (len(once_ns) < CALL_ROUNDS_MAX and time.perf_counter() < ends):
        once_ns.append(_calls_ns(engine.engine, whole))
        twice_ns.append(_calls_ns(engine.engine, halves))
    one, two = float(np.median(once_ns)), float(np.median(twice_ns))
    tokens = CALL_ROWS * longest
    # Half of the rows cannot cost more than all of them: more than that is a disturbance.
    return min(max(two / one - 1.0, 0.0), 1.0) * tokens if one > 0 else 0.0


def _calls_ns(engine: Engine, batches: Sequence[Batch]) -> int:
    clock = time.thread_time_ns if engine.computes_here else time.perf_counter_ns
    began_ns = clock()
    for batch in batches:
        engine.run(batch)
    return clock() - began_ns


def run_largest(payloads: Sequence[Payload], engine: Engine, packer: Packer) -> None:
    """Run once what takes the most memory of the sweep.

    Raises:
        EngineError: the run failed.
    """
    requests, rows = max(SHAPES)
    engine.run(packer.pack(_payloads(payloads, requests, rows)))


def _payloads(payloads: Sequence[Payload], requests: int, rows: int) -> list[Payload]:
    counts = [rows * (at + 1) // requests - rows * at // requests for at in range(requests)]
    return [_resized(payloads[at % len(payloads)], count) for at, count in enumerate(counts)]


def _time_ns(parts: Sequence[Payload], engine: Engine, packer: Packer, brake: Brake) -> int:
    clock = time.thread_time_ns if engine.computes_here else time.perf_counter_ns
    began_ns = clock()
    engine.run(packer.pack(parts), brake)
    return clock() - began_ns


def _resized(payload: Payload, rows: int) -> Payload:
    """The same request with so many candidates."""
    at = np.arange(rows) % payload.rows
    lengths = None if payload.lengths is None else payload.lengths[at]
    return Payload(payload.context, tuple(column[at] for column in payload.candidates), rows, lengths)
