"""Platt scaling finds the curve that labels were drawn with, and refuses what has none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.platt import Curve, fit


def drawn(
    count: int, curve: Curve, seed: int, spread: float = 2.0, centre: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn with the curve's chances."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(centre, spread, count).astype(np.float32)
    return logit, (rng.random(count) < curve.probability(logit)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(slope=st.floats(0.2, 3.0), intercept=st.floats(-2.0, 2.0), seed=st.integers(0, 99))
def test_the_curve_is_found_again(slope: float, intercept: float, seed: int) -> None:
    """Within what 20,000 labels can say (5 standard errors at the least favourable corner)."""
    found = fit(*drawn(20_000, Curve(slope, intercept), seed))
    assert (slope, intercept) == (
        pytest.approx(found.slope, rel=0.15, abs=0.05),
        pytest.approx(found.intercept, abs=0.25),
    )


@pytest.mark.parametrize(("centre", "spread"), [(0.0, 1e-3), (500.0, 10.0), (-3.0, 1e4)])
def test_logits_of_any_place_and_size_are_fitted(centre: float, spread: float) -> None:
    """Newton starts at the logits' own scale: no step overflows, the mean chance is the positives' share."""
    truth = Curve(1.0 / spread, -centre / spread)
    logit, label = drawn(5_000, truth, 1, spread, centre)
    found = fit(logit, label)
    assert label.mean() == pytest.approx(found.probability(logit).mean(), abs=1e-3)
    assert truth.slope == pytest.approx(found.slope, rel=0.15)


def test_no_other_curve_is_likelier() -> None:
    """Moving either number makes the labels less likely: it is the maximum, not just near it."""
    logit, label = drawn(2_000, Curve(0.5, 1.0), 3)
    best = fit(logit, label)

    def likelihood(curve: Curve) -> float:
        p = curve.probability(logit)
        positives, others = label.sum(), (1 - label).sum()
        target = np.where(label > 0, (positives + 1) / (positives + 2), 1 / (others + 2))
        return float((target * np.log(p) + (1 - target) * np.log1p(-p)).sum())

    for moved in (0.01, -0.01):
        assert likelihood(best) > likelihood(Curve(best.slope + moved, best.intercept))
        assert likelihood(best) > likelihood(Curve(best.slope, best.intercept + moved))


def test_labels_that_a_threshold_separates_get_a_finite_curve() -> None:
    """Platt's smoothed targets: without them the slope would grow for ever."""
    logit = np.linspace(-2, 2, 50).astype(np.float32)
    found = fit(logit, (logit > 0).astype(np.float32))
    assert 0 < found.slope < 1e3


@pytest.mark.parametrize(
    ("label", "said"), [(np.zeros(9), "never"), (np.ones(9), "all"), (np.arange(9) < 4, "fall")]
)
def test_labels_without_a_rising_curve_are_refused(label: np.ndarray, said: str) -> None:
    """All alike, or falling as the logit rises: a sentence."""
    with pytest.raises(ValueError, match=said):
        fit(np.arange(9, dtype=np.float32), label.astype(np.float32))
