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
from server.core.decisions import Dispatch, Lane, Ticket
from server.core.scheduler import Limits as SchedulerLimits
from server.core.scheduler import Scheduler
from server.domain import RankingRequest, RunStamps, Scores
from server.engine.bundle import open_bundle
from server.engine.tensors import Packer, split
from server.reply import Identity, Timings, encode, encode_timings
from server.wire import Decoder, parse

FRAME_BYTES = 5
TOGETHER = 5


def best_us(call: Callable[[], object], number: int = 2000) -> float:
    """Best of 5 repeats, microseconds per call."""
    return min(timeit.repeat(call, number=number, repeat=5)) / number * 1e6


def scheduler_cycle() -> Callable[[], object]:
    """offer + step + complete of one ticket, with 63 others waiting."""
    scheduler = Scheduler(SchedulerLimits())
    lane = Lane("bench", 1, "int8")
    scheduler.add_lane(lane, CostModel(50_000, 1_000))
    count = 0

    def offer() -> None:
        nonlocal count
        count += 1
        scheduler.offer(Ticket(count, lane, 500, count, 10**15 + count), now_ns=count)

    for _ in range(63):
        offer()

    def cycle() -> None:
        offer()
        dispatch = scheduler.step(0, now_ns=count)
        assert isinstance(dispatch, Dispatch)
        scheduler.complete(0, run_ns=dispatch.predicted_ns)

    return cycle


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
    print(f"scheduler: offer + step + complete with 63 waiting: {best_us(scheduler_cycle()):.1f}")


if __name__ == "__main__":
    main()
