"""Random worlds: whatever the traffic and whatever the machine does, the invariants hold."""

from __future__ import annotations

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from server.core.scheduler import Scheduler
from tests.simulation.invariants import INVARIANTS, violations
from tests.simulation.mutants import MUTANTS, TossesCoins
from tests.simulation.workload import MS, Workload
from tests.simulation.world import Oracle, play

WORKLOADS = st.builds(
    Workload,
    seed=st.integers(0, 2**32 - 1),
    requests=st.integers(1, 120),
    lanes=st.integers(1, 3),
    executors=st.integers(1, 3),
    arrivals=st.sampled_from(["poisson", "bursty"]),
    load=st.sampled_from([0.1, 0.8, 1.2, 3.0]),
    rows=st.sampled_from([(100,), (20, 100, 500), (1, 900), (300, 400)]),
    budgets_ns=st.sampled_from([(25 * MS,), (4 * MS, 25 * MS, 200 * MS)]),
    noise=st.sampled_from([0.0, 0.2, 1.0]),
    stall_share=st.sampled_from([0.0, 0.05]),
    failure_share=st.sampled_from([0.0, 0.1]),
    cancel_share=st.sampled_from([0.0, 0.3]),
    requests_max=st.sampled_from([2, 64]),
    margin_ns=st.sampled_from([0, MS]),
)

HARD = Workload(
    seed=0,
    requests=400,
    lanes=2,
    arrivals="bursty",
    load=1.5,
    budgets_ns=(10 * MS, 25 * MS, 60 * MS),
    noise=0.3,
    stall_share=0.05,
    failure_share=0.2,
    cancel_share=0.2,
)
"""Every kind of trouble at once; what mutants are played in."""
SEEDS = range(8)


def hard(seed: int) -> Workload:
    """The hard world of one seed."""
    return Workload(**{name: getattr(HARD, name) for name in HARD.__slots__} | {"seed": seed})


@settings(max_examples=400, deadline=None, derandomize=True)
@given(WORKLOADS)
def test_every_invariant_holds_in_every_world(workload: Workload) -> None:
    """Noise, stalls, failures, cancellations, any number of lanes and executors: nothing is broken."""
    note(f"replay with play({workload!r})")
    assert {} == violations(play(workload))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_hard_world_is_hard(seed: int) -> None:
    """The world that mutants are judged in contains every ending, and the real scheduler survives it."""
    trace = play(hard(seed))
    assert {} == violations(trace), f"seed {seed}"
    endings = {ending for told in trace.endings.values() for ending, _ in told}
    assert {"answered", "rejected", "expired", "cancelled", "failed"} == endings, f"seed {seed}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_faulty_scheduler_is_caught(mutant: type[Scheduler]) -> None:
    """Each invariant has a mutant that breaks it within a few seeds: the invariant can fail."""
    caught = {name for seed in SEEDS for name in violations(play(hard(seed), mutant))}
    assert MUTANTS[mutant] in caught


def test_every_invariant_catches_a_mutant() -> None:
    """No invariant is there for show."""
    assert set(INVARIANTS) == set(MUTANTS.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_gives_the_same_decisions(seed: int) -> None:
    """Two schedulers that see the same events decide the same, down to the hash of the log."""
    assert play(hard(seed)).digest() == play(hard(seed)).digest(), f"seed {seed}"


def test_a_scheduler_that_tosses_coins_is_caught() -> None:
    """The digests differ as soon as chance decides."""
    assert len({play(hard(0), TossesCoins).digest() for _ in range(4)}) > 1


@settings(max_examples=200, deadline=None, derandomize=True)
@given(WORKLOADS)
def test_nobody_is_answered_late_by_an_oracle(workload: Workload) -> None:
    """If no run takes longer than predicted, every answer is in time, with any lanes and executors: exact."""
    note(f"replay with play({workload.calm()!r}, cost=Oracle)")
    trace = play(workload.calm(), cost=Oracle)
    assert [] == [
        (ticket_id, at_ns - trace.admitted[ticket_id].deadline_ns)
        for ticket_id, at_ns in trace.ended("answered")
        if at_ns > trace.admitted[ticket_id].deadline_ns
    ]
