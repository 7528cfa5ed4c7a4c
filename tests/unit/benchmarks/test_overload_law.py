"""`benchmarks.overload.law`: capacity at a budget and what refusals leave, by hand."""

from __future__ import annotations

import pytest

from benchmarks.overload.law import capacity, goodput_share


def test_a_run_may_take_half_the_budget() -> None:
    """One executor: who arrives just after a run began waits for it and then needs its own."""
    runs = {1: 5.0, 2: 8.0, 4: 13.0}
    found = capacity(runs, front_end_ms=0.0, overhead_ms=0.0, budget_ms=20.0)
    assert (2, 250.0) == (found.batch, found.per_s)


def test_overhead_takes_its_part_of_the_budget() -> None:
    """Time on the way leaves less for runs."""
    runs = {1: 5.0, 2: 8.0}
    assert 1 == capacity(runs, front_end_ms=0.0, overhead_ms=4.1, budget_ms=20.0).batch


def test_front_end_time_is_the_cores() -> None:
    """What a request costs beside its run lowers the rate and lengthens what others wait for."""
    found = capacity({1: 4.0}, front_end_ms=1.0, overhead_ms=0.0, budget_ms=10.0)
    assert found.per_s == pytest.approx(200.0)
    assert 0 == capacity({1: 4.0}, front_end_ms=1.01, overhead_ms=0.0, budget_ms=10.0).batch


def test_more_executors_shorten_the_wait() -> None:
    """With K executors the next one is free after 1/K of a run."""
    runs = {1: 5.0, 2: 8.0}
    assert 1 == capacity(runs, 0.0, 0.0, 12.0).batch
    assert 2 == capacity(runs, 0.0, 0.0, 12.0, executors=2).batch


def test_a_larger_run_that_is_slower_per_request_is_not_taken() -> None:
    """The best rate is not the largest batch."""
    assert 1 == capacity({1: 4.0, 2: 9.0}, 0.0, 0.0, 100.0).batch


def test_nothing_fits() -> None:
    """Batch 0 says that not even one request fits."""
    found = capacity({1: 30.0}, 0.0, 0.0, 25.0)
    assert (0, 0.0) == (found.batch, found.per_s)


def test_refusals_come_out_of_the_same_core() -> None:
    """At five times capacity, with refusals at 4 % of an answer, 80 / 96 of capacity is left."""
    assert goodput_share(5.0, 0.04) == pytest.approx(0.8 / 0.96)


@pytest.mark.parametrize("load", [0.5, 1.0])
def test_up_to_capacity_everything_is_served(load: float) -> None:
    """Without overload goodput is what was asked."""
    assert load == goodput_share(load, 0.3)


def test_free_refusals_leave_everything() -> None:
    """y is 1 at any load."""
    assert 1.0 == goodput_share(100.0, 0.0)


def test_a_core_that_only_refuses_serves_nobody() -> None:
    """y ends at 0 where L r / s reaches 1."""
    assert 0.0 == goodput_share(5.0, 0.25)


@pytest.mark.parametrize("ratio", [1.0, 1.3])
def test_a_no_that_costs_more_than_an_answer_leaves_nothing(ratio: float) -> None:
    """Small requests that are served in batches: beyond capacity, refusing takes the whole core."""
    assert 0.0 == goodput_share(1.01, ratio)


def test_a_refusal_costs_something() -> None:
    """A negative cost is a measurement gone wrong."""
    with pytest.raises(ValueError, match="refusal_ratio"):
        goodput_share(2.0, -0.1)
