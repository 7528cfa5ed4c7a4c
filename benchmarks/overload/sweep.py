"""Part `sweep`: from half of capacity to five times of it, all requests alike, nothing given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.overload.law import goodput_share
from benchmarks.overload.load import SECONDS_MIN, Offer, drive
from benchmarks.overload.point import Point, Reference, point
from benchmarks.overload.workloads import Workload
from benchmarks.server_process import ServerProcess
from loadtest.scenario.form import Transport

LOADS: Final = (0.5, 0.8, 1.2, 2.0, 3.0, 5.0)
STREAM_LOADS: Final = (2.0, 5.0)
TWO_LOADS: Final = (0.8, 2.0)
"""For the other budgets and models."""
SPARE: Final = 1.08
"""So many more are asked than should be admitted: the least that counts is a least."""

SHARE_LEAST: Final = 0.25

Say = Callable[[str], None]


def measure(
    work: Workload,
    reference: Reference,
    asked: Sequence[tuple[Transport, float]],
    admitted: int,
    say: Say,
    sets: Sequence[str] = (),
    *,
    throttle: bool = False,
) -> list[Point]:
    """Points of one server, one after the other.

    Args:
        asked: door and load of each.
        admitted: at least so many per point, if goodput is what it should be.
        sets: configuration on top of the workload's.
        throttle: callers with `podium.client`'s throttle.
    """
    server = ServerProcess.start(work.models, [*work.sets, *sets])
    points = []
    try:
        for number, (door, load) in enumerate(asked):
            share = goodput_share(load, reference.refusal_ratio)
            seconds = seconds_for(admitted, share, reference.per_s)
            offer = Offer(load * reference.per_s, seconds, transport=door, seed=number, throttle=throttle)
            points.append(point(work, offer, drive(server, work, offer), reference, share))
            say(spoken(points[-1]))
    finally:
        server.stop()
    return points


def both_doors() -> list[tuple[Transport, float]]:
    """Every load by unary calls, the overloads by stream too."""
    unary: list[tuple[Transport, float]] = [("http2", load) for load in LOADS]
    return [*unary, *(("stream", load) for load in STREAM_LOADS)]


def seconds_for(admitted: int, share: float, per_s: float) -> float:
    """How long it takes to admit so many.

    Args:
        share: of capacity that should be admitted; where refusals leave next to nothing, fewer must do.
        per_s: capacity.
    """
    return max(SPARE * admitted / (max(share, SHARE_LEAST) * per_s), SECONDS_MIN)


def spoken(found: Point) -> str:
    """One line as it is measured."""
    return (
        f"{found.workload} {found.door} {found.load:.2g}x: {found.verdict}, p99 {found.p99_ms} ms, goodput "
        f"{found.goodput_per_s:.1f}/s = {found.ratio:.3f} of what refusals leave, {found.refused} refused"
    )
