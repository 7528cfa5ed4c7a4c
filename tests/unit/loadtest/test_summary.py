"""Records to numbers. The first two tests hold the rules that make a tail honest."""

import numpy as np
import pytest

from loadtest import summary
from loadtest.records import ANSWERED, TIMEOUT
from loadtest.workload import Judgement
from tests.unit.loadtest.made import answered_after, made


def test_latency_counts_from_the_intended_instant() -> None:
    """A client that stalled for a second is charged to every request the stall held up.

    Ten requests, 100 ms apart, all sent at 1,000 ms and answered 5 ms later: counted from the send, all took
    5 ms and p50 would read 5.
    """
    records = made(*((100.0 * at, 1000.0, 1005.0, ANSWERED) for at in range(10)))
    found = summary.fold(records, budget_ms=200, duration_s=1)
    assert (505.0, 1005.0) == (found.latency.p50_ms, found.latency.max_ms)
    assert (5.0, 5.0) == (found.service.p50_ms, found.service.max_ms)
    assert (500.0, 1000.0) == (found.send_lag.p50_ms, found.send_lag.max_ms)
    assert 9 == found.violations


def test_an_admitted_request_without_an_answer_took_forever() -> None:
    """98 answers in 1 ms and two time-outs: p99 is +inf (null), not 1 ms, and both break the budget."""
    quick = [(10.0 * at, 10.0 * at, 10.0 * at + 1, ANSWERED) for at in range(98)]
    lost = [(990.0, 990.0, 1990.0, TIMEOUT), (995.0, 995.0, -1.0, TIMEOUT)]
    found = summary.fold(made(*quick, *lost), budget_ms=25, duration_s=1)
    assert 1.0 == found.latency.p50_ms
    assert found.latency.p99_ms is None
    assert found.latency.p99_ci95[1] is None
    assert (100, 2) == (found.admitted, found.violations)


@pytest.mark.parametrize(
    ("ending", "admitted"),
    [
        ("unsent", 1),
        ("timeout", 1),
        ("failed", 1),
        ("expired", 1),
        ("cancelled", 1),
        ("invalid", 0),
        ("denied", 0),
        ("overloaded", 0),
        ("unready", 0),
    ],
)
def test_what_counts_as_admitted(ending: str, admitted: int) -> None:
    """Only refusals that promised nothing are left out; every other end without an answer is a violation."""
    found = summary.fold(made((0.0, 0.0, 1.0, ending)), budget_ms=25, duration_s=1)
    assert (0, admitted, admitted) == (found.answered, found.admitted, found.violations)


def test_goodput_needs_every_candidate_in_time() -> None:
    """Of a full answer in time, one degraded in time and a full one too late, only the first is good."""
    records = answered_after(5.0, 5.0, 30.0)
    records.rows["scored"][1] = 3
    found = summary.fold(records, budget_ms=25, duration_s=0.5)
    assert 2.0 == found.goodput_per_s
    assert 6.0 == found.answered_per_s == found.offered_per_s
    assert (3, 2, 1, 1) == (found.answered, found.in_time, found.degraded, found.violations)


def test_the_budget_itself_is_in_time() -> None:
    """An answer after exactly the budget kept it."""
    assert 0 == summary.fold(answered_after(25.0), budget_ms=25, duration_s=1).violations


def test_percentiles_are_values_that_occurred() -> None:
    """Nearest rank: of 1..1000, p50 is 500, p99 990, p99.9 999, whatever the order they came in."""
    values = np.random.default_rng(0).permutation(np.arange(1.0, 1001.0))
    found = summary.percentiles(values)
    assert (500.0, 990.0, 999.0, 1000.0) == (found.p50_ms, found.p99_ms, found.p999_ms, found.max_ms)
    assert 1.0 == summary.quantile(values, 0.0)


def test_nothing_has_no_percentiles() -> None:
    """No values, no numbers: not 0, not an error."""
    found = summary.percentiles(np.zeros(0))
    assert (0, None, (None, None)) == (found.n, found.p99_ms, found.p99_ci95)


def test_the_interval_encloses_the_true_p99() -> None:
    """Over 2,000 samples of 1,000 exponentials the 95 % interval misses the true p99 in at most 5 %."""
    truth = float(-np.log(0.01))
    draws = np.sort(np.random.default_rng(11).exponential(size=(2000, 1000)), axis=1)
    intervals = [summary.order_interval(sample, 0.99) for sample in draws]
    hits = np.mean([low <= truth <= high for low, high in intervals if low and high])
    # Three standard errors below 0.95; above it, since order statistics can only overcover.
    assert 0.935 <= hits <= 0.985


def test_too_few_values_bound_nothing_above() -> None:
    """No 100 values can say how bad the true p99 may be: the upper end is open."""
    low, high = summary.order_interval(np.arange(1.0, 101.0), 0.99)
    assert (97.0, None) == (low, high)


def test_refusals_are_counted_by_kind_and_reason() -> None:
    """Each end without an answer appears with how often it came, the most frequent first."""
    records = made(
        (0.0, 0.0, 1.0, "expired"),
        *[(1.0, 1.0, 2.0, "overloaded")] * 3,
        (2.0, 2.0, 3.0, ANSWERED),
        reasons=("", "OVERLOADED", "EXPIRED_IN_QUEUE"),
    )
    records.rows["reason"] = [2, 1, 1, 1, 0]
    found = summary.fold(records, budget_ms=25, duration_s=1).refused
    assert [("overloaded", "OVERLOADED", 3), ("expired", "EXPIRED_IN_QUEUE", 1)] == [
        (entry.ending, entry.reason, entry.count) for entry in found
    ]


def test_a_late_answer_shows_the_prior_order() -> None:
    """What users saw: the returned order within the budget, else the order the caller already had.

    The only relevant candidate is first in the returned order (nDCG 1) and second in the prior's
    (1 / log2(3)); of two answers one is late.
    """
    judgement = Judgement([np.array([1, 0, 0, 0], np.float32)], [np.array([1, 0, 2, 3])])
    found = summary.fold(answered_after(5.0, 30.0), 25, 1, judgement).quality
    prior = 1 / np.log2(3)
    assert found is not None
    assert (pytest.approx((1 + prior) / 2), pytest.approx(prior), 2) == (
        found.perceived,
        found.prior,
        found.requests,
    )


def test_requests_without_a_relevant_candidate_say_nothing() -> None:
    """A request set in which nothing is relevant has no quality, rather than one of 0."""
    judgement = Judgement([np.zeros(4, np.float32)], [np.arange(4)])
    assert summary.fold(answered_after(5.0), 25, 1, judgement).quality is None
