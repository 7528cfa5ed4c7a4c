"""Latency of a variant on this machine: milliseconds of a run over its rows, one thread, bounded time.

Processor time of the calling thread, because an export often shares its cores: what a run costs, not what it
waited. Points are visited in rounds, so that a slow second of the machine spreads over all of them.
"""

from __future__ import annotations

import time

import msgspec
import numpy as np

from export.gates.evidence import Evidence, Subject
from export.gates.speed import feeds_of
from export.spec import Array

SECONDS_MAX = 4.0
"""Of one variant, all points together, about: a point's first two runs are always made."""
POINTS = (
    *((1, candidates) for candidates in (1, 10, 20, 50, 100, 200, 500, 1000)),
    *((requests, 100) for requests in (2, 4, 8, 16)),
)
"""(requests, candidates of each) of a run."""
ROUNDS = 25
WARM = 2
"""Runs of a shape that are not counted: the first allocates."""
POINT_S_MAX = 0.4
"""A run that takes longer ends the curve: larger ones are left out."""


class LatencyPoint(msgspec.Struct, kw_only=True, frozen=True):
    """Run time of one batch shape.

    Attributes:
        requests, candidates: contexts of the run, candidates of each; rows = their product.
        p10_ms, p50_ms, p90_ms: quantiles over `runs` runs, processor time of the thread.
    """

    requests: int
    candidates: int
    p10_ms: float
    p50_ms: float
    p90_ms: float
    runs: int


def measure(evidence: Evidence, subject: Subject, seconds_max: float = SECONDS_MAX) -> list[LatencyPoint]:
    """The curve of one variant.

    Args:
        seconds_max: wall time for all points; runs are left out rather than exceed it by more than one round.
    """
    end = time.perf_counter() + seconds_max
    most = evidence.spec.candidates_max
    runs: dict[tuple[int, int], dict[str, Array]] = {}
    times: dict[tuple[int, int], list[float]] = {}
    slow = 0
    for shape in sorted(POINTS, key=lambda point: point[0] * point[1]):
        if shape[1] > most or (slow and shape[0] * shape[1] > slow):
            continue
        feeds = feeds_of(evidence, *shape)
        for _ in range(WARM):
            subject.runner.run(feeds)
        runs[shape] = feeds
        times[shape] = [_timed(subject, feeds)]
        if times[shape][0] > POINT_S_MAX or time.perf_counter() > end:
            slow = shape[0] * shape[1]
    for _ in range(ROUNDS - 1):
        if time.perf_counter() > end:
            break
        for shape, feeds in runs.items():
            times[shape].append(_timed(subject, feeds))
    return [_point(shape, found) for shape, found in times.items()]


def _timed(subject: Subject, feeds: dict[str, Array]) -> float:
    start = time.thread_time()
    subject.runner.run(feeds)
    return time.thread_time() - start


def _point(shape: tuple[int, int], seconds: list[float]) -> LatencyPoint:
    low, middle, high = (round(float(ms), 4) for ms in np.quantile(seconds, [0.1, 0.5, 0.9]) * 1e3)
    return LatencyPoint(
        requests=shape[0], candidates=shape[1], p10_ms=low, p50_ms=middle, p90_ms=high, runs=len(seconds)
    )
