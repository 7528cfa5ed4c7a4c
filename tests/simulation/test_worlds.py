"""Random worlds: whatever the traffic and whatever the machine does, the invariants hold."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from server.core.decisions import Rejected, Ticket
from server.core.scheduler import Scheduler
from tests.simulation.invariants import INVARIANTS, violations
from tests.simulation.mutants import MUTANTS, AdmitsAll, TopsUpBlindly, TossesCoins
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
    drift=st.sampled_from([1.0, 3.0]),
    importances=st.sampled_from([(2,), (1, 2, 3)]),
    chunk_ns=st.sampled_from([None, 2 * MS]),
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
    importances=(1, 2, 3),
    chunk_ns=3 * MS,
)
"""Every kind of trouble at once; what mutants are played in."""
ORDERLY = Workload(
    seed=0, requests=200, load=0.9, budgets_ns=(400 * MS, 150 * MS), rows=(100, 500), requests_max=1
)
"""Nobody leaves the queue: the world in which the order of runs is judged."""
RUSH = Workload(seed=0, requests=300, load=3.0, rows=(100,), rows_max=4096)
"""Exact and crowded: the world in which the length of runs is judged."""
SEEDS = range(8)


def hard(seed: int) -> Workload:
    """The hard world of one seed."""
    return replace(HARD, seed=seed)


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
    assert {"answered", "rejected", "expired", "cancelled", "failed", "displaced"} == endings, f"seed {seed}"
    assert any(offer.parts > 1 for offer in trace.offers), f"seed {seed}"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_orderly_world_is_orderly(seed: int) -> None:
    """The order of runs is judged there at all: some run has others waiting behind it, and nobody leaves."""
    trace = play(replace(ORDERLY, seed=seed))
    assert {} == violations(trace), f"seed {seed}"
    assert {"answered"} == {ending for told in trace.endings.values() for ending, _ in told}, f"seed {seed}"
    assert any(start.waiting for start in trace.starts), f"seed {seed}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_faulty_scheduler_is_caught(mutant: type[Scheduler]) -> None:
    """Each invariant has a mutant that breaks it within a few seeds: the invariant can fail."""
    worlds = [
        world
        for seed in SEEDS
        for world in (hard(seed), replace(ORDERLY, seed=seed), replace(RUSH, seed=seed))
    ]
    caught = {name for world in worlds for name in violations(play(world, mutant))}
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


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    WORKLOADS,
    st.sampled_from([(1.0, 1.0, 1.0), (1.0, 1.5, 3.0), (3.0, 1.5, 1.0), (1.0, 3.0, 1.0)]),
    st.sampled_from([0.0, 0.7]),
)
def test_an_oracle_breaks_no_promise(
    workload: Workload, ratios: tuple[float, float, float], early: float
) -> None:
    """I2: if no run takes longer than predicted, whoever is admitted, and neither leaves nor is displaced, is
    answered in time: nobody late, nobody expired, with any lanes, executors, classes, parts and caution, ends
    they sooner than predicted or not; exact. Probes are exempt: they start because the model says no."""
    workload = replace(workload.calm(), oracle_ratios=ratios, early=early)
    note(f"replay with play({workload!r}, cost=Oracle)")
    assert set() == play(workload, cost=Oracle).broken()


CAUTIOUS = (
    Workload(
        seed=131,
        requests=150,
        lanes=2,
        arrivals="bursty",
        load=1.2,
        rows=(100,),
        budgets_ns=(60 * MS,),
        importances=(1, 2, 3),
        margin_ns=0,
        oracle_ratios=(1.0, 1.5, 3.0),
    ),
    Workload(
        seed=15,
        requests=60,
        load=0.8,
        rows=(100,),
        cancel_share=0.3,
        chunk_ns=2 * MS,
        requests_max=2,
        margin_ns=0,
        oracle_ratios=(1.0, 3.0, 1.0),
    ),
    Workload(
        seed=326,
        requests=60,
        lanes=2,
        executors=3,
        load=3.0,
        rows=(300, 400),
        cancel_share=0.3,
        chunk_ns=2 * MS,
        requests_max=8,
        margin_ns=0,
        oracle_ratios=(3.0, 1.5, 1.0),
    ),
)


@pytest.mark.parametrize("workload", CAUTIOUS, ids=lambda workload: str(workload.oracle_ratios))
def test_unequal_caution_breaks_no_promise(workload: Workload) -> None:
    """Where sizes have ratios of their own, a longer run of more may be foreseen to take disproportionately
    long, or a short time. Each of these worlds was broken once."""
    assert set() == play(workload, cost=Oracle).broken()


@pytest.mark.parametrize("mutant", [TopsUpBlindly, AdmitsAll], ids=lambda mutant: mutant.__name__)
def test_promises_can_be_broken(mutant: type[Scheduler]) -> None:
    """Where nobody looks at who comes later, an oracle does not help: the tests above can fail."""
    mixed = Workload(
        seed=0,
        requests=300,
        load=2.0,
        executors=3,
        rows=(50, 150, 250, 350, 600),
        budgets_ns=(8 * MS, 12 * MS, 30 * MS),
    )
    assert any(play(replace(mixed, seed=seed), mutant, Oracle).broken() for seed in SEEDS)


class Foresighted(Scheduler):
    """Asks a copy of itself, whenever it looks, what an offer would say."""

    looked = foreseen = 0

    def look(self, ticket: Ticket, *, now_ns: int) -> Rejected | None:
        other = copy.deepcopy(self)
        verdict = super().look(ticket, now_ns=now_ns)
        assert self.snapshot(now_ns=now_ns) == other.snapshot(now_ns=now_ns)
        offered = other.offer(ticket, now_ns=now_ns)
        Foresighted.looked += 1
        if verdict is not None:
            Foresighted.foreseen += 1
            assert isinstance(offered, Rejected)
            assert offered.reason is verdict.reason
        return verdict


@pytest.mark.parametrize("workload", [HARD, RUSH], ids=["hard", "rush"])
def test_a_look_foresees_what_the_offer_would_say(workload: Workload) -> None:
    """Who is refused at a look would be refused by the offer; a look changes nothing that can be seen."""
    Foresighted.looked = Foresighted.foreseen = 0
    assert {} == violations(play(replace(workload, requests=250), Foresighted))
    assert Foresighted.looked > Foresighted.foreseen > 20
