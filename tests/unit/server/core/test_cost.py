"""The cost model: what a run teaches, and what it must not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.core.cost import DOUBT, ETA, RATIO_MAX, STALLS_BELIEVED, TAU, CostModel

OVERHEAD_NS, ROW_NS = 400_000, 1_500
SIZES = (1, 20, 100, 500)


def line_ns(rows: int) -> int:
    return OVERHEAD_NS + ROW_NS * rows


def model() -> CostModel:
    return CostModel(OVERHEAD_NS, ROW_NS, 1.0)


def test_a_sweep_on_a_line_gives_the_line() -> None:
    """Warm-up points without noise are fitted exactly."""
    fitted = CostModel.fitted([(rows, line_ns(rows)) for rows in SIZES])
    assert pytest.approx(OVERHEAD_NS) == fitted.overhead_ns
    assert pytest.approx(ROW_NS) == fitted.row_ns


def test_no_points_no_model() -> None:
    """A lane that was never measured is refused."""
    with pytest.raises(ValueError, match="at least one measured run"):
        CostModel.fitted([])


def test_one_point_is_met() -> None:
    """One size cannot say what a row costs; its own time is predicted, with the usual headroom."""
    fitted = CostModel.fitted([(100, 1_000_000)])
    assert pytest.approx(1_000_000 * fitted.ratio) == fitted.predict_ns(100)


def test_a_prediction_is_the_ratio_over_the_line_rounded_up() -> None:
    """predict = ceil(ratio * (overhead + row * rows))."""
    assert math.ceil(1.25 * line_ns(7)) == CostModel(OVERHEAD_NS, ROW_NS, 1.25).predict_ns(7)


def test_a_miss_raises_the_ratio_and_a_hit_lowers_it() -> None:
    """Adaptive conformal inference: + eta * tau on a miss, - eta * (1 - tau) on a hit."""
    cost = CostModel(OVERHEAD_NS, ROW_NS, 1.5)
    cost.learn(100, int(2.0 * line_ns(100)))
    assert pytest.approx(1.5 + ETA * TAU) == cost.ratio
    cost = CostModel(OVERHEAD_NS, ROW_NS, 1.5)
    cost.learn(100, line_ns(100))
    assert pytest.approx(1.5 - ETA * (1 - TAU)) == cost.ratio


def test_learning_reports_actual_over_predicted() -> None:
    """The returned ratio compares with the prediction that was in force, not with the next one."""
    assert pytest.approx(2.0) == model().learn(100, 2 * line_ns(100))


def test_the_miss_rate_is_what_was_asked_for() -> None:
    """Log-normal noise, sizes mixed: misses stay within the conformal bound (range of ratio) / (eta * n)."""
    rng = np.random.default_rng(11)
    cost, n = model(), 20_000
    misses = 0
    for rows, noise in zip(rng.choice(SIZES, n), np.exp(0.15 * rng.standard_normal(n)), strict=True):
        actual_ns = int(line_ns(int(rows)) * noise)
        misses += cost.learn(int(rows), actual_ns) > 1.0
    assert misses / n <= 1 - TAU + (RATIO_MAX - 1.0 + ETA) / (ETA * n)
    assert misses / n >= (1 - TAU) / 2  # it predicts the quantile, not an upper bound


def test_a_slower_machine_is_learned() -> None:
    """Fifty runs at half the speed: the line is the new one to a tenth."""
    cost = model()
    for n in range(200):
        cost.learn(SIZES[n % 4], line_ns(SIZES[n % 4]))
    for n in range(150):
        cost.learn(SIZES[n % 4], 2 * line_ns(SIZES[n % 4]))
    assert pytest.approx(2 * line_ns(100), rel=0.1) == cost.overhead_ns + 100 * cost.row_ns


def test_runs_of_one_size_keep_the_shape() -> None:
    """Runs of 100 rows at twice the time double overhead and row alike, and leave their proportion."""
    cost = model()
    for _ in range(300):
        cost.learn(100, 2 * line_ns(100))
    assert pytest.approx(2 * line_ns(100), rel=1e-3) == cost.overhead_ns + 100 * cost.row_ns
    assert pytest.approx(OVERHEAD_NS / ROW_NS) == cost.overhead_ns / cost.row_ns


def test_a_stall_counts_once_and_is_not_fitted() -> None:
    """A run of 50 times the predicted time costs one step of the ratio; the line does not move."""
    cost = model()
    cost.learn(100, 50 * line_ns(100))
    assert (OVERHEAD_NS, ROW_NS) == (cost.overhead_ns, cost.row_ns)
    assert pytest.approx(1.0 + ETA * TAU) == cost.ratio


def test_stalls_in_a_row_are_believed() -> None:
    """The fifth stall in a row moves the line; a good run in between starts the count again."""
    cost = model()
    for _ in range(STALLS_BELIEVED - 1):
        cost.learn(100, 50 * line_ns(100))
    assert OVERHEAD_NS == cost.overhead_ns
    cost.learn(100, line_ns(100))
    for _ in range(STALLS_BELIEVED - 1):
        cost.learn(100, 50 * line_ns(100))
    assert pytest.approx(OVERHEAD_NS) == cost.overhead_ns
    cost.learn(100, 50 * line_ns(100))
    assert cost.overhead_ns > 2 * OVERHEAD_NS


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5_000), st.integers(1, 10**10)), min_size=1, max_size=60))
def test_predictions_stay_sane_whatever_is_learned(runs: list[tuple[int, int]]) -> None:
    """Never negative, never falling with rows, ratio within its bounds: for any runs at all."""
    cost = CostModel.fitted(runs[:1])
    for rows, ns in runs:
        cost.learn(rows, ns)
        predictions = [cost.predict_ns(n) for n in (0, 1, 10, 1_000, 100_000)]
        assert predictions == sorted(predictions)
        assert predictions[0] >= 0
        assert 1.0 <= cost.ratio <= RATIO_MAX


def test_an_overestimate_heals_with_every_run() -> None:
    """Runs that are faster than believed bring the line down: about 50 of them weigh most."""
    cost = CostModel.fitted([(rows, 10 * line_ns(rows)) for rows in SIZES])
    for n in range(300):
        cost.learn(SIZES[n % 4], line_ns(SIZES[n % 4]))
    assert pytest.approx(line_ns(100), rel=0.05) == cost.overhead_ns + 100 * cost.row_ns


def test_doubts_lead_back_to_the_profile() -> None:
    """A hundredfold estimate that admits nobody is back within a tenth of the warm-up after 350 doubts."""
    cost = CostModel.fitted([(rows, line_ns(rows)) for rows in SIZES])
    at_first_ns = cost.predict_ns(100)
    cost.overhead_ns *= 100
    cost.row_ns *= 100
    assert at_first_ns == cost.profile_ns(100)
    for _ in range(350):
        cost.doubt()
    assert pytest.approx(at_first_ns, rel=0.1) == cost.predict_ns(100)


def test_a_doubt_is_a_small_step_up_or_down() -> None:
    """One doubt goes `DOUBT` of the way: an optimistic model turns more careful, too."""
    cost = model()
    cost.overhead_ns *= 2
    cost.doubt()
    assert pytest.approx(OVERHEAD_NS * (2 - DOUBT)) == cost.overhead_ns
    cost.overhead_ns = 0.0
    cost.doubt()
    assert pytest.approx(OVERHEAD_NS * DOUBT) == cost.overhead_ns


def test_the_first_run_after_a_doubt_sets_the_level() -> None:
    """What was measured before a doubt no longer weighs: one run says how fast the machine is."""
    cost = CostModel.fitted([(rows, line_ns(rows)) for rows in SIZES])
    for n in range(100):
        cost.learn(SIZES[n % 4], 3 * line_ns(SIZES[n % 4]))
    cost.doubt()
    cost.learn(100, line_ns(100))
    assert pytest.approx(line_ns(100)) == cost.overhead_ns + 100 * cost.row_ns
