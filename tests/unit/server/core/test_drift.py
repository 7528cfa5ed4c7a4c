"""Drift: changes that last are noticed, noise is not."""

from __future__ import annotations

import random

import pytest

from server.core.drift import Drift


@pytest.mark.parametrize("factor", [0.01, 0.3, 3.0, 100.0])
def test_a_lasting_change_is_noticed_within_ten_runs(factor: float) -> None:
    """The alarm comes, and names the factor."""
    drift = Drift()
    said = [drift.see(factor) for _ in range(10)]
    alarms = [alarm for alarm in said if alarm is not None]
    assert factor == pytest.approx(alarms[0])


def test_one_odd_run_is_no_change() -> None:
    """A run of a thousand times its mean between sound ones raises nothing."""
    drift = Drift()
    assert [None] * 101 == [drift.see(ratio) for ratio in [1.0] * 50 + [1000.0] + [1.0] * 50]


def test_noise_is_no_change() -> None:
    """10,000 runs whose times vary by a fifth."""
    rng = random.Random(3)
    drift = Drift()
    assert {None} == {drift.see(rng.lognormvariate(0.0, 0.2)) for _ in range(10_000)}


def test_after_an_alarm_it_begins_anew() -> None:
    """The next alarm needs as much again."""
    drift = Drift()
    while drift.see(5.0) is None:
        pass
    assert drift.see(5.0) is None
