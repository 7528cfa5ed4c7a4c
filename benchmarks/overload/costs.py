"""What a request costs the core beside its run, and what a no costs: measured on the server from outside."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from benchmarks import h2load
from benchmarks.overload import account
from benchmarks.overload.load import TRIES, Offer, Stretch, drive, sent
from benchmarks.overload.run_times import RunTimes
from benchmarks.overload.workloads import Workload
from benchmarks.server_process import ServerProcess
from loadtest.fold.totals import latencies_ms
from loadtest.records import ANSWERED
from loadtest.verdict import Verdict
from podium.v1 import ranking_pb2 as pb

CALM_SHARE, CALM_PER_S = 0.25, 100.0
"""Of the core, and at most so many, at equal distances: hardly a request meets another."""
NULL_REQUESTS: Final = 3000
NULL_IN_FLIGHT: Final = (4, 16)
"""Connections, and calls on each: as `make bench` asks what a message costs, so that the core never sleeps.
At 200/s, where every request wakes it, one costs about twice as much."""
LIFTED_MS: Final = 60_000.0
FULL_SHARE: Final = 0.2
"""Of the budget, at least, that a request of the mean size occupies the server that is kept full."""
FULL_PER_S: Final = (800.0, 1600.0)
"""Offered to it, more than its capacity: what the higher rate costs more, refusals cost. Both keep the core
awake: at lower rates a request costs more, because it wakes it."""
IDLE_S: Final = 0.5


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds.

    Attributes:
        front_end_ms: core time per served request beside its run: all that a server spends whose engine does
            nothing. The least that was found, so that C(D) is no smaller than it should be.
        calm_ms: CPU time less time in runs, per request, of a server that is mostly idle.
        overhead_ms: time on the way of a request that meets no other, beside its run and its core time.
        refused_ms: core time per refused request, r.
    """

    front_end_ms: float
    calm_ms: float
    overhead_ms: float
    refused_ms: float


def measure(work: Workload, times: RunTimes, seconds: float) -> Costs:
    """Measure them all, `seconds` per stretch of load.

    Raises:
        RuntimeError: a stretch was too short to be read, or a full server refused nobody.
    """
    null_ms = _null_ms(work, times)
    calm_ms, beside_ms = _calm(work, times, seconds)
    return Costs(
        front_end_ms=min(null_ms, calm_ms),
        calm_ms=calm_ms,
        overhead_ms=max(beside_ms - calm_ms, 0.0),
        refused_ms=_refused_ms(work, times, null_ms, seconds),
    )


def _calm(work: Workload, times: RunTimes, seconds: float) -> tuple[float, float]:
    """A server with little to do: its CPU time less its time in runs."""
    rate = min(CALM_SHARE * 1e3 / times.mixed_ms[1], CALM_PER_S)
    server = ServerProcess.start(work.models, work.sets)
    try:
        drive(server, work, Offer.even(rate, 1.0))
        for _ in range(TRIES):
            before_s, idle = account.busy_s(server), _idle_share(server)
            begins = account.read(server.process.pid)
            stretch = drive(server, work, Offer.even(rate, seconds), tries=1)
            spent = begins.until(account.read(server.process.pid))
            runs_s = account.busy_s(server) - before_s
            if stretch.outcome.run.judgement.verdict is not Verdict.INVALID:
                break
    finally:
        server.stop()
    records = stretch.outcome.evidence.records
    answered = records.ended(ANSWERED)
    count = int(np.count_nonzero(answered))
    if not count:
        raise RuntimeError(f"{work.name}: a calm server answered nothing")
    calm_ms = 1e3 * (spent.cpu_s - idle * spent.wall_s - runs_s) / count
    beside_ms = latencies_ms(records)[answered] - records.rows["run_us"][answered] / 1e3
    return calm_ms, float(np.median(beside_ms))


def _null_ms(work: Workload, times: RunTimes) -> float:
    """A server whose runs take no time, asked for a request of about the mean size, closed loop."""
    every = [pb.RankRequest.FromString(data) for data in sent(work)]
    request = min(every, key=lambda one: abs(one.candidates.count - times.candidates_mean))
    # In a closed loop requests queue on purpose: no deadline is part of it.
    request.timeout_us = round(LIFTED_MS * 1e3)
    lifted = f"models.{work.model}.budget_ms={LIFTED_MS:g}"
    server = ServerProcess.start(work.models, [*work.sets, lifted, *_fake(0.0)])
    connections, streams = NULL_IN_FLIGHT
    try:
        with tempfile.TemporaryDirectory() as folder:
            body = h2load.write_body(Path(folder) / "request.bin", request.SerializeToString())

            def ask(requests: int) -> None:
                h2load.run(server.port, body, requests=requests, connections=connections, streams=streams)

            ask(NULL_REQUESTS // 4)
            before = account.read(server.process.pid)
            ask(NULL_REQUESTS)
            spent = before.until(account.read(server.process.pid))
    finally:
        server.stop()
    return 1e3 * spent.cpu_s / NULL_REQUESTS


def _refused_ms(work: Workload, times: RunTimes, null_ms: float, seconds: float) -> float:
    """A server whose engine sleeps is full and its core is free: what it spends, it spends on yes and no."""
    mean_ms = max(times.mixed_ms[1], FULL_SHARE * work.budget_ms)
    server = ServerProcess.start(work.models, [*work.sets, *_fake(1e3 * mean_ms / times.candidates_mean)])
    try:
        drive(server, work, Offer(FULL_PER_S[0], 1.0))
        low, high = (counted(drive(server, work, Offer(rate, seconds))) for rate in FULL_PER_S)
    finally:
        server.stop()
    if high[2] <= low[2]:
        raise RuntimeError(f"{work.name}: a full server refused {high[2]} requests of {sum(high[1:])}")
    more_ms = 1e3 * (high[0] - low[0]) - null_ms * (high[1] - low[1])
    return more_ms / (high[2] - low[2])


def _fake(row_us: float) -> list[str]:
    return ['engine.kind="fake"', "engine.fake.overhead_ms=0", f"engine.fake.row_us={row_us:.3f}"]


def counted(stretch: Stretch) -> tuple[float, int, int]:
    """CPU seconds, answers, and everything else that ended, between the readings."""
    if stretch.spent is None:
        raise RuntimeError("the stretch was too short to read the server's CPU time")
    records = stretch.outcome.evidence.records
    done_s = records.rows["done_ns"] / 1e9
    inside = (done_s >= stretch.from_s) & (done_s < stretch.to_s)
    answered = int(np.count_nonzero(inside & records.ended(ANSWERED)))
    return stretch.spent.cpu_s, answered, int(np.count_nonzero(inside)) - answered


def _idle_share(server: ServerProcess) -> float:
    """Of a core that the server takes when nobody asks."""
    before = account.read(server.process.pid)
    time.sleep(IDLE_S)
    spent = before.until(account.read(server.process.pid))
    return spent.cpu_s / spent.wall_s
