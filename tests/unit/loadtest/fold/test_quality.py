"""What the orders were worth, and where it went."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.fold import quality
from loadtest.records import ANSWERED, DTYPE, ENDINGS, Records
from loadtest.result import Quality
from loadtest.truth import Truth
from measures.agreement import top_k_overlap
from measures.mrr import reciprocal_rank
from measures.ndcg import ndcg
from tests.unit.loadtest.fold.known import tops, truth
from tests.unit.loadtest.made import answered_after, made

LAST = 1 / math.log2(5)
"""nDCG of the prior's order 3, 2, 1, 0 when only candidate 0 is relevant."""


def folded(records: Records, known: Truth, k: int = 10) -> Quality:
    """With a budget of 25 ms, over a second."""
    found = quality.fold(quality.per_request(records, known, [25.0], k), 1.0)
    assert found is not None
    return found


def test_a_late_answer_shows_the_prior_order() -> None:
    """What users saw: the returned order within the budget, else the order the caller already had."""
    found = folded(answered_after(5.0, 30.0), truth([[1, 0, 0, 0]]))
    assert (pytest.approx((1 + LAST) / 2), pytest.approx(LAST), 2) == (
        found.perceived,
        found.prior,
        found.requests,
    )
    assert pytest.approx((1 + 1 / 4) / 2) == found.mrr


def test_every_scheduled_request_counts() -> None:
    """Refused, lost and never sent: their users saw the prior's order."""
    endings = ["overloaded", "timeout", "unsent", "expired"]
    records = made(*((0.0, 0.0, 1.0, ending) for ending in endings), (0.0, 0.0, 1.0, ANSWERED))
    assert pytest.approx((1 + 4 * LAST) / 5) == folded(records, truth([[1, 0, 0, 0]])).perceived


def test_requests_without_a_relevant_candidate_say_nothing() -> None:
    """They are left out of every mean; where there are no others there is no quality, not one of 0."""
    assert quality.fold(quality.per_request(answered_after(5.0), truth([[0] * 4]), [25.0], 10), 1.0) is None
    records = answered_after(5.0, 5.0)
    records.rows["message"] = [0, 1]
    found = folded(records, truth([[0] * 4, [1, 0, 0, 0]]))
    assert (1, 1.0, 1.0) == (found.requests, found.perceived, found.coverage)


def test_without_a_reference_there_are_no_losses() -> None:
    """An idle server that was not asked makes no statement; goodput is then weighted against the ideal."""
    found = folded(answered_after(5.0), truth([[0, 1, 0, 0]], asked=[False]))
    assert (None, None) == (found.losses, found.overlap)
    assert pytest.approx(1 / math.log2(3)) == found.weighted_goodput_per_s


def test_goodput_is_weighted_by_the_unquantised_order() -> None:
    """An answer as good as the unquantised one weighs 1; a degraded one is also counted by itself; a late one
    weighs nothing."""
    records = answered_after(5.0, 5.0, 50.0)
    records.rows["scored"][1] = 2
    records.rows["top"][1, :4] = [1, 0, 2, 3]
    found = folded(records, truth([[1, 0, 0, 0]], against=(1, 0, 2, 3)))
    best = 1 / math.log2(3)
    assert pytest.approx(1 / best + 1) == found.weighted_goodput_per_s
    assert pytest.approx(1.0) == found.degraded_weighted_goodput_per_s
    assert pytest.approx((4 + 2) / 12) == found.coverage


def test_each_way_of_losing_is_named() -> None:
    """One request each: in time and whole, degraded, late, refused. Quantisation costs all the same."""
    records = made(
        (0.0, 0.0, 5.0, ANSWERED),
        (1.0, 1.0, 5.0, ANSWERED),
        (2.0, 2.0, 99.0, ANSWERED),
        (3.0, 3.0, 4.0, "overloaded"),
    )
    records.rows["top"][:2, :4] = [[1, 0, 2, 3], [1, 2, 0, 3]]
    found = folded(records, truth([[1, 0, 0, 0]], alone=(1, 0, 2, 3))).losses
    second, third = 1 / math.log2(3), 1 / math.log2(4)
    assert found is not None
    assert (4, 1.0, pytest.approx(1 - second)) == (found.requests, found.reference, found.quantisation)
    assert pytest.approx((second - third) / 4) == found.degradation
    assert pytest.approx((second - LAST) / 4) == found.lateness == found.refusal


@st.composite
def runs(draw: st.DrawFn) -> tuple[Records, Truth]:
    """Any endings, orders, labels and messages, some of them not asked about."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, messages = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    counts = rng.integers(1, 15, messages)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    orders = [tops(*(rng.permutation(count)[:10] for count in counts)) for _ in range(3)]
    labels = rng.integers(0, 4, offsets[-1]) * (rng.random(offsets[-1]) < 0.5)
    asked = rng.random(messages) < 0.8
    rows = np.zeros(n, DTYPE)
    rows["message"] = rng.integers(0, messages, n)
    rows["intended_ns"] = np.sort(rng.integers(0, 5 * 10**9, n))
    rows["done_ns"] = rows["intended_ns"] + rng.integers(0, 50 * 10**6, n)
    rows["ending"] = rng.integers(0, len(ENDINGS), n)
    rows["top"] = tops(*(rng.permutation(counts[message])[:10] for message in rows["message"]))
    known = Truth(
        labels.astype(np.float32), offsets, *orders, asked, rng.normal(size=offsets[-1]).astype(np.float32)
    )
    return Records(rows, ("",)), known


@given(runs(), st.integers(1, 10))
def test_the_losses_add_up(run: tuple[Records, Truth], k: int) -> None:
    """Quantisation, degradation, lateness and refusal are all of reference - perceived, to 1e-9."""
    found = quality.fold(quality.per_request(*run, [25.0], k), 1.0)
    if found is not None and found.losses is not None:
        lost = found.losses
        parts = lost.quantisation + lost.degradation + lost.lateness + lost.refusal
        assert pytest.approx(lost.reference - lost.perceived, abs=1e-9) == parts


@given(runs(), st.integers(1, 10))
def test_each_request_is_valued_as_one_would_by_hand(run: tuple[Records, Truth], k: int) -> None:
    """nDCG, reciprocal rank and overlap equal those of `measures`, request by request."""
    records, known = run
    worth = quality.per_request(records, known, [25.0], k)
    for at, row in enumerate(records.rows):
        message = int(row["message"])
        labels = known.labels[known.offsets[message] : known.offsets[message + 1]]
        seen = row["top"] if worth.in_time[at] else known.prior_top[message]
        order = seen[seen >= 0]
        assert pytest.approx(ndcg(labels, order, k), abs=1e-12, nan_ok=True) == worth.perceived[at]
        if labels.any():
            assert reciprocal_rank(labels, order, k) == worth.reciprocal[at]
        if worth.in_time[at] and known.asked[message]:
            against = known.against_top[message]
            expected = top_k_overlap(order, against[against >= 0], k)
            assert pytest.approx(expected) == worth.overlap[at]
        else:
            assert math.isnan(worth.overlap[at])


def test_the_interval_holds_the_mean() -> None:
    """Half the answers late, second by second: the interval is as wide as such seconds vary, and lies between
    the best and the worst."""
    records = answered_after(*([5.0] * 10 + [50.0] * 10) * 10)
    found = folded(records, truth([[1, 0, 0, 0]]))
    assert LAST < found.perceived_low < found.perceived < found.perceived_high < 1
