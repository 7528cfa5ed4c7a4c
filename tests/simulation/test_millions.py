"""Millions of virtual requests in random worlds; `make test-simulation`, a few minutes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.simulation.invariants import violations
from tests.simulation.workload import MS, Workload
from tests.simulation.world import Oracle, play

REQUESTS = 2_000_000
CHUNKS = 20
WORLDS_PER_CHUNK = REQUESTS // CHUNKS // 1000
"""Of 500 requests on average, each played twice."""


def world(seed: int) -> Workload:
    """A random world; the seed is all there is to it."""
    draw = random.Random(seed).choice
    return Workload(
        seed=seed,
        requests=draw([100, 400, 1000]),
        lanes=draw([1, 2, 3]),
        executors=draw([1, 2, 3]),
        arrivals=draw(["poisson", "bursty"]),
        load=draw([0.1, 0.8, 1.2, 3.0]),
        rows=draw([(100,), (20, 100, 500), (1, 900), (300, 400)]),
        budgets_ns=draw([(25 * MS,), (4 * MS, 25 * MS, 200 * MS)]),
        noise=draw([0.0, 0.2, 1.0]),
        stall_share=draw([0.0, 0.05]),
        failure_share=draw([0.0, 0.1]),
        cancel_share=draw([0.0, 0.3]),
        drift=draw([1.0, 3.0]),
        importances=draw([(2,), (1, 2, 3)]),
        chunk_ns=draw([None, 2 * MS]),
        requests_max=draw([2, 64]),
        margin_ns=draw([0, MS]),
    )


def known(workload: Workload) -> Workload:
    """The same traffic with nothing to learn, and caution that depends on a run's size."""
    draw = random.Random(workload.seed).choice
    ratios = draw([(1.0, 1.0, 1.0), (1.0, 1.5, 3.0), (3.0, 1.5, 1.0), (1.0, 3.0, 1.0)])
    return replace(workload.calm(), oracle_ratios=ratios, early=draw([0.0, 0.7]))


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_nothing_is_broken_in_millions_of_requests(chunk: int) -> None:
    """Every invariant holds in every world; and with an oracle, every promise is kept."""
    requests = 0
    seeds = range(chunk * WORLDS_PER_CHUNK, (chunk + 1) * WORLDS_PER_CHUNK)
    for seed in seeds:
        workload = world(seed)
        assert {} == violations(play(workload)), f"replay with play(world({seed}))"
        broken = play(known(workload), cost=Oracle).broken()
        assert set() == broken, f"replay with play(known(world({seed})), cost=Oracle)"
        requests += 2 * workload.requests
    print(f"seeds {seeds.start} to {seeds.stop - 1}: {requests} virtual requests")
