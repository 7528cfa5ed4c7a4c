"""Micro-benchmarks of the hops that are ours: decode, batch build, split, encode, scheduler step.

    python -m benchmarks.micro

Microseconds per call, best of 5 repeats, on the benchmark's bundle: what a hop costs with warm caches. Under
load on one core each costs two to three times as much (docs/measuring.md).
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np

from benchmarks.bench import build_bundle, write_bodies
from server.config import Limits
from server.core.cost import CostModel
from server.core.decisions import Admitted, Dispatch, Lane, RunTime, Ticket
from server.core.line import Line
from server.core.scheduler import Limits as SchedulerLimits
from server.core.scheduler import Scheduler
from server.domain import RankingRequest, RunStamps, Scores
from server.engine.bundle import open_bundle
from server.engine.tensors import Packer, split
from server.reply import Identity, Timings, encode, encode_timings
from server.wire import Decoder, parse

FRAME_BYTES = 5
BUDGET_NS = 10**12
"""Nothing expires and nothing is refused while it is measured."""
RUN_REQUESTS = 8
TOGETHER = 5


def best_us(call: Callable[[], object], number: int = 2000) -> float:
    """Best of 5 repeats, microseconds per call."""
    return min(timeit.repeat(call, number=number, repeat=5)) / number * 1e6


def scheduler_cycle() -> Callable[[], object]:
    """Eight tickets' way through the scheduler with 56 others waiting: eight offers, one run, its end."""
    scheduler, lane = _scheduler()
    count = now_ns = 0

    def offer() -> None:
        nonlocal count
        count += 1
        verdict = scheduler.offer(Ticket(count, lane, 20, now_ns, now_ns + BUDGET_NS), now_ns=now_ns)
        assert isinstance(verdict, Admitted)

    for _ in range(64 - RUN_REQUESTS):
        offer()

    def cycle() -> None:
        nonlocal now_ns
        for _ in range(RUN_REQUESTS):
            offer()
        dispatch = scheduler.step(0, now_ns=now_ns)
        assert isinstance(dispatch, Dispatch)
        assert len(dispatch.parts) == RUN_REQUESTS
        now_ns += 500_000
        scheduler.complete(0, RunTime(500_000, 450_000), now_ns=now_ns)
        scheduler.answered(lane, late=0, requests=RUN_REQUESTS)

    return cycle


def scheduler_refusal() -> Callable[[], object]:
    """An offer that finds no room, with the plan full."""
    scheduler, lane = _scheduler()
    count = 0

    def offer() -> object:
        nonlocal count
        count += 1
        return scheduler.offer(Ticket(count, lane, 20, 0, 25_000_000), now_ns=0)

    while isinstance(offer(), Admitted):
        pass
    return offer


def _scheduler() -> tuple[Scheduler, Lane]:
    scheduler = Scheduler(SchedulerLimits(requests_max=RUN_REQUESTS))
    lane = Lane("bench", 1, "int8")
    scheduler.add_lane(lane, CostModel(Line(60_000, 8_000, 2_500)))
    return scheduler, lane


def main() -> None:
    """Print the table."""
    bundle = open_bundle(build_bundle())
    decoder = Decoder(bundle.layout, bundle.vocabs, Limits(), 4096)
    packer = Packer(bundle.layout, 4096)
    identity, timings = Identity("bench", 1, "int8"), Timings(40, 1200, 30, 900, 20, 2200)

    def answer(request: RankingRequest, scores: Scores, stamps: RunStamps) -> bytes:
        return encode(request, scores, identity).body + encode_timings(timings, stamps)

    print(f"| candidates | parse | decode | pack 1 | pack {TOGETHER} | split {TOGETHER} | encode |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size, body in write_bodies().items():
        data = body.read_bytes()[FRAME_BYTES:]
        message = parse(data)
        request = decoder.decode(message)
        scores = np.random.default_rng(0).random(size, dtype=np.float32)
        together = {"score": np.tile(scores, TOGETHER)}
        stamps = RunStamps(1, 2, 3, size, 1)
        hops: list[Callable[[], object]] = [
            lambda data=data: parse(data),
            lambda message=message: decoder.decode(message),
            lambda request=request: packer.pack([request.payload]),
            lambda request=request: packer.pack([request.payload] * TOGETHER),
            lambda together=together, size=size: split(together, [size] * TOGETHER),
            lambda request=request, scores=scores, stamps=stamps: answer(request, scores, stamps),
        ]
        print(f"| {size} | {' | '.join(f'{best_us(hop):.1f}' for hop in hops)} |")
    cycle_us = best_us(scheduler_cycle()) / RUN_REQUESTS
    print(f"scheduler, a request's share with 64 in flight, runs of {RUN_REQUESTS}: {cycle_us:.1f}")
    print(f"scheduler, a refusal with the plan full: {best_us(scheduler_refusal()):.1f}")


if __name__ == "__main__":
    main()
