"""Calibration error, log loss and AUC: cases that can be worked out by hand, and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measures.probability import auc, calibration_error, log_loss


def test_calibration_error_by_hand() -> None:
    """Two bins of two: |0.15 - 0.5| and |0.85 - 1.0|, each half of the whole."""
    probability = np.array([0.8, 0.1, 0.9, 0.2])
    label = np.array([1.0, 0.0, 1.0, 1.0])
    assert (0.35 + 0.15) / 2 == pytest.approx(calibration_error(probability, label, bins=2))


def test_what_is_said_happens_as_often_as_said() -> None:
    """Labels drawn with the chances themselves: an error near 0; with chances said too high: the excess."""
    rng = np.random.default_rng(0)
    chance = rng.random(200_000) * 0.5
    label = (rng.random(len(chance)) < chance).astype(np.float32)
    assert calibration_error(chance, label) < 0.005
    assert 0.2 == pytest.approx(calibration_error(chance + 0.2, label), abs=0.005)


def test_fewer_values_than_bins_are_a_bin_each() -> None:
    """One value: its distance. None at all, or unequal lengths: refused."""
    assert 0.3 == pytest.approx(calibration_error(np.array([0.7]), np.array([1.0])))
    with pytest.raises(ValueError):
        calibration_error(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError):
        calibration_error(np.zeros(2), np.zeros(3))


def test_log_loss_by_hand() -> None:
    """-log of the chance given to what happened; a certainty that was wrong costs much, not infinity."""
    found = log_loss(np.array([0.5, 0.25]), np.array([1, 0]))
    assert -(math.log(0.5) + math.log(0.75)) / 2 == pytest.approx(found)
    assert 20 < log_loss(np.array([0.0]), np.array([1])) < 40


@given(data=st.data(), n=st.integers(1, 30))
def test_auc_is_the_share_of_pairs_in_order(data: st.DataObject, n: int) -> None:
    """Counted pair by pair, ties half; NaN without a pair."""
    score = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n)), np.float32)
    label = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=n, max_size=n)))
    pairs = [(p, q) for p in score[label > 0] for q in score[label == 0]]
    if not pairs:
        assert math.isnan(auc(score, label))
        return
    right = [1.0 if p > q else 0.5 if p == q else 0.0 for p, q in pairs]
    assert np.mean(right) == pytest.approx(auc(score, label))
