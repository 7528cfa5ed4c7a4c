"""Kendall's tau-b and top-k overlap against values computed by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measures import agreement
from measures.agreement import kendall_tau, top_k_overlap

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=12)


def test_one_swapped_neighbour_of_four() -> None:
    """5 concordant pairs and 1 discordant of 6: tau = 4/6."""
    assert 4 / 6 == pytest.approx(kendall_tau(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])))


def test_ties_are_corrected_for() -> None:
    """a = 1 1 2 has one tied pair of three, b none; C = 2: tau-b = 2 / sqrt(2 * 3)."""
    assert 2 / math.sqrt(6) == pytest.approx(kendall_tau(np.array([1, 1, 2]), np.array([1, 2, 3])))


def test_infinities_are_ordinary_scores() -> None:
    """Two equal infinities are a tie, not a NaN."""
    inf = float("inf")

    assert 1.0 == pytest.approx(kendall_tau(np.array([inf, inf, 0.0]), np.array([5.0, 5.0, 1.0])))


def test_all_tied_states_no_order() -> None:
    """An array of equal scores agrees with nothing: NaN."""
    assert math.isnan(kendall_tau(np.ones(3), np.arange(3)))


def test_a_nan_score_is_refused() -> None:
    """Agreement over unscored candidates would be silently wrong."""
    with pytest.raises(ValueError, match="NaN"):
        kendall_tau(np.array([1.0, float("nan")]), np.arange(2.0))


def test_blocks_do_not_change_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows compared in blocks give what one block gives."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 20, 101), rng.integers(0, 20, 101)
    whole = kendall_tau(a, b)

    monkeypatch.setattr(agreement, "_PAIRS_PER_BLOCK", 700)

    assert whole == kendall_tau(a, b)


@given(PAIRS)
def test_tau_is_its_definition(pairs: list[tuple[int, int]]) -> None:
    """tau-b equals (C - D) / sqrt((P - T_a)(P - T_b)) counted pair by pair."""
    a, b = np.array(pairs).T
    signs = [
        (np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in itertools.combinations(range(len(a)), 2)
    ]
    untied = math.sqrt(sum(x != 0 for x, _ in signs)) * math.sqrt(sum(y != 0 for _, y in signs))
    expected = sum(int(x * y) for x, y in signs) / untied if untied else float("nan")

    assert expected == pytest.approx(kendall_tau(a, b), nan_ok=True)


def test_overlap_by_hand() -> None:
    """Tops {0, 1, 2} and {2, 3, 0} share two of three."""
    assert 2 / 3 == top_k_overlap(np.array([0, 1, 2, 3]), np.array([2, 3, 0, 1]), 3)


def test_overlap_of_fewer_than_k_candidates_is_one() -> None:
    """Both tops are then all candidates."""
    assert 1.0 == top_k_overlap(np.array([0, 1]), np.array([1, 0]), 10)


def test_overlap_needs_a_top() -> None:
    """k = 0 and empty orders are refused."""
    with pytest.raises(ValueError, match="k must be"):
        top_k_overlap(np.arange(2), np.arange(2), 0)
    with pytest.raises(ValueError, match="empty order"):
        top_k_overlap(np.arange(0), np.arange(0), 1)
