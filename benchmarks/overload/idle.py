"""Part `idle`: what admission costs a request that meets nobody: p50 at one in flight, with it and without.

Two servers on the same core, one with the plan, one with a queue without bounds and without deadlines; blocks
in turn (ABBA), the ratio taken inside the block. With the smallest request of `make bench`, where a tenth of
a millisecond shows, and with the proof's own model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np

from benchmarks import h2load
from benchmarks.overload.workloads import BUILD, Workload
from benchmarks.server_process import ServerProcess
from protos.request_set import read_messages

BLOCKS: Final = 8
RATIO_MAX: Final = 1.05
SWITCHED_OFF: Final = (
    'admission.policy="fifo"',
    "admission.fifo.queue_max=10000",
    "admission.fifo.timeout_ms=0",
    "admission.fifo.delay_ms=0",
)
RESAMPLES: Final = 10_000


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request; times are p50 per block in µs."""

    workload: str
    candidates: int
    plan_us: list[float]
    off_us: list[float]
    low: float
    ratio: float
    high: float

    @property
    def verdict(self) -> Literal["PASS", "FAIL", "INCONCLUSIVE"]:
        """Whether the ratio is below 1.05."""
        if self.high < RATIO_MAX:
            return "PASS"
        return "FAIL" if self.low > RATIO_MAX else "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is sent again and again.

    Attributes:
        requests: per block and server.
    """

    work: Workload
    message: bytes
    candidates: int
    requests: int


def measure(asked: Asked, blocks: int = BLOCKS) -> Idle:
    """Interleaved blocks on two servers."""
    folder = BUILD / "idle"
    folder.mkdir(parents=True, exist_ok=True)
    body = h2load.write_body(folder / f"{asked.work.model}-{asked.candidates}.bin", asked.message)
    plan = ServerProcess.start(asked.work.models, asked.work.sets)
    try:
        off = ServerProcess.start(asked.work.models, [*asked.work.sets, *SWITCHED_OFF])
        try:
            for server in (plan, off):
                _p50_us(server, body, asked.requests)
            pairs = [_block(number, plan, off, body, asked.requests) for number in range(blocks)]
        finally:
            off.stop()
    finally:
        plan.stop()
    plan_us, off_us = (list(column) for column in zip(*pairs, strict=True))
    ratios = np.array(plan_us) / np.array(off_us)
    draws = np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return Idle(
        workload=asked.work.name,
        candidates=asked.candidates,
        plan_us=plan_us,
        off_us=off_us,
        low=float(low),
        ratio=float(np.median(ratios)),
        high=float(high),
    )


def typical(work: Workload, requests: int) -> Asked:
    """A request of the mix's most frequent size."""
    from podium.v1 import ranking_pb2 as pb

    every = read_messages(work.bundle / "requests" / "eval.podium")
    counts = [pb.RankRequest.FromString(data).candidates.count for data in every]
    size = int(np.bincount(counts).argmax())
    return Asked(work, every[counts.index(size)], size, requests)


def smallest(requests: int) -> Asked:
    """The request of 20 candidates of `make bench`."""
    from benchmarks.bench import build_bundle, write_bodies

    bundle = build_bundle()
    framed = Path(write_bodies()[20]).read_bytes()
    work = Workload("bench", "bench", bundle.parent.parent, bundle, 25.0)
    return Asked(work, framed[5:], 20, requests)


def _block(
    number: int, plan: ServerProcess, off: ServerProcess, body: Path, requests: int
) -> tuple[float, float]:
    if number % 2 == 0:
        first = _p50_us(plan, body, requests)
        return first, _p50_us(off, body, requests)
    first = _p50_us(off, body, requests)
    return _p50_us(plan, body, requests), first


def _p50_us(server: ServerProcess, body: Path, requests: int) -> float:
    return h2load.run(server.port, body, requests=requests, connections=1, streams=1).p50_us
