"""A scenario's schedule as a whole."""

import msgspec
import numpy as np
import pytest

from loadtest.scenario.form import Class, Closed, Phase, Poisson, Scenario, Slo, Target, Workload
from loadtest.schedule.build import boundaries_ns, budgets_ms, build, closed

BASE = Scenario(
    version=1,
    name="s",
    rate_per_s=200.0,
    slo=Slo(budget_ms=25),
    workload=Workload(mix=(Class(name="a", weight=2), Class(name="b", budget_ms=400))),
    phases=(
        Phase(name="warm-up", duration_s=2, measure=False, drain=True),
        Phase(name="one", duration_s=3, arrivals=Poisson(load=2.0)),
        Phase(name="two", duration_s=1),
    ),
)


def test_phases_follow_one_another_and_a_drain_leaves_a_deadline() -> None:
    """The gap after the warm-up is the longest RPC deadline: 4 budgets of 400 ms."""
    starts, ends = boundaries_ns(BASE)
    assert ((0, 3_600_000_000, 6_600_000_000), (2_000_000_000, 6_600_000_000, 7_600_000_000)) == (
        starts,
        ends,
    )
    found = build(BASE, 50, seed=0)
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        mine = found.intended_ns[found.phase == number]
        assert start <= mine.min()
        assert mine.max() < end
    assert (np.diff(found.intended_ns) >= 0).all()


def test_the_same_seed_is_the_same_schedule_for_every_target_and_any_number_of_processes() -> None:
    """The digest is of what is sent and when, and of nothing else."""
    elsewhere = msgspec.structs.replace(BASE, target=Target(address="other:1", connections=7))
    assert (
        build(BASE, 50, 0).digest == build(elsewhere, 50, 0).digest == build(BASE, 50, 0).spread(3, 0).digest
    )
    assert build(BASE, 50, 0).digest != build(BASE, 50, 1).digest
    assert {0, 1, 2} == set(build(BASE, 50, 0).spread(3, 0).process.tolist())


def test_changing_the_mix_leaves_the_instants() -> None:
    """Each column has random numbers of its own."""
    other = msgspec.structs.replace(BASE, workload=Workload(mix=(Class(name="a", budget_ms=400),)))
    np.testing.assert_array_equal(build(BASE, 50, 0).intended_ns, build(other, 50, 0).intended_ns)


def test_a_rate_that_is_missing_is_asked_for() -> None:
    """By the option that gives it."""
    with pytest.raises(ValueError, match="rate_per_s is not set: give --rate"):
        build(msgspec.structs.replace(BASE, rate_per_s=0.0), 50, 0)


def test_each_class_has_its_budget() -> None:
    """Its own, else the slo's."""
    assert (25, 400) == budgets_ms(BASE)


def test_a_closed_loop_has_rows_but_no_instants() -> None:
    """They are filled in as it goes."""
    loop = Phase(name="loop", duration_s=2, arrivals=Closed(in_flight=4))
    found = closed(msgspec.structs.replace(BASE, phases=(loop,)), 100, 50, 0)
    assert (100, 0, (2_000_000_000,)) == (len(found.messages), int(found.intended_ns.sum()), found.ends_ns)
