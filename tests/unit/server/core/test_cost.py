"""The cost model: what a run teaches, and what it must not."""

from __future__ import annotations

import random

import pytest

from server.core.cost import (
    ALLOWANCE_NS,
    ETA,
    HALF_LIFE_NS,
    PROBE_NS_MAX,
    PROBE_NS_MIN,
    RATIO_MAX,
    SILENCE_NS,
    STALLS_BELIEVED,
    STRETCH_MAX,
    TAU,
    CostModel,
)
from server.core.decisions import RunTime
from server.core.line import Line, Point

MS = 1_000_000


def model(ratio: float = 1.0) -> CostModel:
    """A run takes 5 ms + 20 µs a row."""
    return CostModel(Line(5e6, 0.0, 20_000.0, per_request=False), [ratio] * 3)


def wall(factor: float, rows: int = 100) -> RunTime:
    return RunTime(int(factor * (5e6 + 20_000 * rows)))


def test_a_prediction_is_line_times_stretch_times_ratio() -> None:
    """Rounded up to a nanosecond."""
    cost = model(1.25)
    cost.stretch = 2.0
    assert 17_500_000 == cost.predict_ns(1, 100)
    assert 14_000_000 == cost.expect_ns(1, 100)


@pytest.mark.parametrize("ratios", [[1.0, 3.0, 1.0], [4.0, 2.0, 1.0], [1.0, 1.5, 3.0]])
def test_a_larger_run_is_never_foreseen_to_be_shorter(ratios: list[float]) -> None:
    """Whatever the groups' ratios: a ticket would else expire before a run of several is to begin."""
    cost = CostModel(Line(100_000.0, 0.0, 10_000.0, per_request=False), ratios)
    times = [cost.predict_ns(1, rows) for rows in range(1, 1000)]
    assert sorted(times) == times


def test_a_miss_raises_the_ratio_and_a_hit_lowers_it() -> None:
    """Adaptive conformal inference: + eta * tau on a miss, - eta * (1 - tau) on a hit."""
    cost = model(1.5)
    cost.learn(1, 100, wall(2.0), 0)
    assert pytest.approx(1.5 + ETA * TAU) == cost.ratios[2]
    cost = model(1.5)
    cost.learn(1, 100, wall(1.0), 0)
    assert pytest.approx(1.5 - ETA * (1 - TAU)) == cost.ratios[2]


def test_what_a_neighbour_takes_at_once_is_no_miss() -> None:
    """The margin pays for the allowance."""
    cost = model(1.5)
    cost.learn(1, 100, RunTime(int(1.5 * 7e6) + ALLOWANCE_NS), 0)
    assert cost.ratios[2] < 1.5


def test_sizes_have_ratios_of_their_own() -> None:
    """A large run's miss says nothing of small ones."""
    cost = CostModel(Line(100_000.0, 0.0, 20_000.0, per_request=False), [1.5] * 3)
    cost.learn(1, 1000, RunTime(60 * MS, 20 * MS), 0)
    assert [1.5, 1.5] == cost.ratios[:2]
    assert cost.ratios[2] > 1.5


def test_coverage_comes_out_as_aimed_at() -> None:
    """20,000 log-normal runs: about 1 % take longer than predicted and allowed for."""
    rng = random.Random(5)
    cost = model()
    misses = 0
    for _ in range(20_000):
        run = RunTime(int(7e6 * rng.lognormvariate(0.0, 0.15)))
        misses += run.wall_ns - ALLOWANCE_NS > cost.predict_ns(1, 100)
        cost.learn(1, 100, run, 0)
    assert 1 - TAU == pytest.approx(misses / 20_000, abs=0.005)


def test_neighbours_stretch_runs_and_leave_the_line_alone() -> None:
    """Twice the wall time at the same CPU time: the stretch says 2, the line what it said."""
    cost = model()
    for _ in range(100):
        cost.learn(1, 100, RunTime(14 * MS, 7 * MS), 0)
    assert 2.0 == pytest.approx(cost.stretch, rel=0.01)
    assert 7e6 == pytest.approx(cost.line.mean_ns(1, 100), rel=0.01)


def test_the_stretch_is_of_the_sums() -> None:
    """Nine runs that were let alone and one that lost 9 ms: on average 1.9, whatever each of them says."""
    cost = CostModel(Line(1e6, 0.0, 0.0, per_request=False))
    for at in range(1000):
        cost.learn(1, 1, RunTime(10 * MS if at % 10 == 9 else MS, MS), 0)
    assert 1.9 == pytest.approx(cost.stretch, rel=0.1)


def test_the_stretch_is_bounded() -> None:
    """A process that hardly runs at all is a matter for the stall counter."""
    cost = model()
    for _ in range(50):
        cost.learn(1, 100, RunTime(20 * MS, 1 * MS), 0)
    assert STRETCH_MAX == cost.stretch


def test_a_stall_is_counted_and_forgotten() -> None:
    """One run of two seconds: one miss, and the line and the stretch stay."""
    cost = model(1.2)
    cost.learn(1, 100, RunTime(2_000 * MS, 7 * MS), 0)
    assert (1, 1.0) == (cost.stalls, cost.stretch)
    assert 7e6 == cost.line.mean_ns(1, 100)
    assert 1.2 + ETA * TAU == pytest.approx(cost.ratios[2])


def test_stalls_without_end_are_the_machine() -> None:
    """From the fifth in a row they are believed."""
    cost = model()
    for _ in range(STALLS_BELIEVED + 20):
        cost.learn(1, 100, wall(40.0), 0)
    assert STALLS_BELIEVED - 1 == cost.stalls
    assert cost.line.mean_ns(1, 100) > RATIO_MAX * 7e6


def test_learning_reports_actual_over_predicted() -> None:
    """For the metric."""
    assert 2.0 == model().learn(1, 100, wall(2.0), 0)


def test_silence_leads_back_to_the_warm_up() -> None:
    """Nothing for 5 s, then half of the way in another 5; asked often or seldom, it comes to the same."""
    often, seldom = model(), model()
    for cost in (often, seldom):
        cost.learn(1, 100, wall(1.0), 0)
        cost.line.scale(3.0)
        cost.ratios[2], cost.stretch = 3.0, 3.0
    often.heal(SILENCE_NS - 1)
    assert 21e6 == often.line.mean_ns(1, 100)
    for now_ns in range(SILENCE_NS, SILENCE_NS + HALF_LIFE_NS + 1, HALF_LIFE_NS // 50):
        often.heal(now_ns)
    seldom.heal(SILENCE_NS + HALF_LIFE_NS)
    for cost in (often, seldom):
        assert 14e6 == pytest.approx(cost.line.mean_ns(1, 100), rel=1e-6)
        assert (2.0, 2.0) == (pytest.approx(cost.ratios[2]), pytest.approx(cost.stretch))


def test_a_size_of_which_nothing_runs_heals_while_others_run() -> None:
    """Small runs keep the line believed; they say nothing for the ratio that refuses every large one."""
    cost = CostModel(Line(100_000.0, 0.0, 20_000.0, per_request=False), [1.0] * 3)
    cost.ratios[2] = 4.0
    for now_ns in range(0, SILENCE_NS + HALF_LIFE_NS + 1, HALF_LIFE_NS // 100):
        cost.learn(1, 10, RunTime(300_000), now_ns)
        cost.heal(now_ns)
    assert 2.5 == pytest.approx(cost.ratios[2], rel=1e-6)


def test_a_probe_does_not_end_the_silence_of_its_size() -> None:
    """Ten a second, each of which lowers the ratio by a thousandth: healing goes on all the same."""
    probed, left_alone = model(4.0), model(4.0)
    for cost in (probed, left_alone):
        cost._profile_ratios[2] = 1.0
    for now_ns in range(0, SILENCE_NS + 2 * HALF_LIFE_NS + 1, PROBE_NS_MIN):
        probed.learn(1, 100, wall(1.0), now_ns, probe=True)
        probed.heal(now_ns)
        left_alone.heal(now_ns)
    assert 1.75 == pytest.approx(left_alone.ratios[2], rel=1e-6)
    assert probed.ratios[2] < left_alone.ratios[2]


def test_what_never_ran_heals_too() -> None:
    """A model kept from an earlier process, of which nothing has run since, goes back to the warm-up."""
    cost = model()
    cost.resume(Line(500e6, 0.0, 2e6, per_request=False), [4.0] * 3)
    for now_ns in (0, SILENCE_NS + 4 * HALF_LIFE_NS):
        cost.heal(now_ns)
    assert 7e6 * (1 + 99 / 16) == pytest.approx(cost.line.mean_ns(1, 100), rel=1e-6)


def test_probes_become_seldom_where_they_find_nothing() -> None:
    """Twice the gap after each try that was late, up to 5 s; the least again after one that was in time."""
    cost = model()
    now_ns, gaps = 0, []
    for in_time in [False] * 8 + [True, False]:
        cost.begin_probe(now_ns)
        began_ns = now_ns
        while not cost.may_probe(now_ns):
            now_ns += PROBE_NS_MIN // 10
        gaps.append(now_ns - began_ns)
        cost.end_probe(in_time=in_time)
    assert [PROBE_NS_MIN, 2 * PROBE_NS_MIN, 4 * PROBE_NS_MIN] == gaps[:3]
    assert PROBE_NS_MAX == gaps[8]
    assert PROBE_NS_MIN == gaps[9]


def test_what_was_learned_can_be_taken_along() -> None:
    """`state` of one process is `resume` of the next; silence still leads back to the new warm-up."""
    old = model()
    for _ in range(300):
        old.learn(1, 100, wall(1.4), 0)
    new, state = model(), old.state()
    line = Line(state["run_ns"], state["request_ns"], state["row_ns"], per_request=False)
    new.resume(line, state["ratios"])
    assert old.line.mean_ns(1, 100) == pytest.approx(new.line.mean_ns(1, 100))
    assert 7e6 == new.profile_ns(1, 100)


def test_a_sweep_makes_a_model() -> None:
    """With the usual caution on top."""
    cost = CostModel.fitted(
        [Point(1, rows, 5e6 + 20_000 * rows) for rows in (1, 100, 500)], per_request=False
    )
    assert 1.2 * 9e6 == pytest.approx(cost.predict_ns(1, 200), rel=0.02)


def test_a_probe_that_was_in_time_shakes_the_caution() -> None:
    """Five of them bring a ratio of 4 down to nearly what the warm-up said; one that was late does not."""
    cost = model(1.2)
    cost.ratios[2] = 4.0
    cost.learn(1, 100, wall(4.5), 0, probe=True)
    assert cost.ratios[2] >= 4.0
    for _ in range(5):
        cost.learn(1, 100, wall(1.0), 0, probe=True)
    assert 1.2 == pytest.approx(cost.ratios[2], abs=0.1)
