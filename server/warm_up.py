"""The warm-up sweep: runs of several shapes, timed, from which a cost model starts."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from server.core.line import Point
from server.domain import Payload
from server.engine.api import Brake, Engine
from server.engine.tensors import Packer

SHAPES = ((1, 1), (1, 512), (1, 64), (8, 64), (1, 256), (16, 512), (4, 128), (1, 16))
"""(requests, rows) of the runs, the most telling first: time may end the sweep."""
SHAPES_MIN = 2
"""Run once however long it takes: from one shape nobody can tell what is overhead and what is work."""
ROUNDS = 4


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
        Point(requests, rows, sorted(took)[len(took) // 2])
        for (requests, rows, _), took in zip(shapes, times_ns, strict=True)
        if took
    ]


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
    return Payload(payload.context, tuple(column[at] for column in payload.candidates), rows)
