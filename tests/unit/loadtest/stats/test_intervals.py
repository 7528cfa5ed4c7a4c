"""Quantiles that occurred, and intervals that hold the truth as often as they say, also for shared fates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.stats.intervals import block_interval, mean_interval, order_interval, percentile, quantile, tail

VALUES = st.lists(st.one_of(st.floats(0, 1e6), st.just(math.inf)), min_size=1, max_size=50)


@given(VALUES, st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_the_smallest_value_that_its_share_does_not_exceed(
    values: list[float], share: float
) -> None:
    """The definition of nearest rank, with infinite values among them or not."""
    ranked = np.sort(values)
    found = quantile(ranked, share)
    n = len(values)
    assert found in values
    assert np.count_nonzero(ranked <= found) >= share * n - 1e-9
    assert np.count_nonzero(ranked < found) < max(share * n, 1e-9)


def test_a_percentile_of_too_few_is_not_shown() -> None:
    """661 values have no p99, 662 do; the extremes are facts about any number."""
    values = np.arange(1.0, 663.0)
    assert percentile(values[:-1], 0.99) is None
    assert 656.0 == percentile(values, 0.99)
    assert (1.0, 662.0) == (percentile(values, 0.0), percentile(values, 1.0))
    assert percentile(values[:0], 1.0) is None


def test_what_never_came_is_infinite() -> None:
    """Two per cent unanswered: p99 is infinite, and so is the interval's upper end."""
    values = np.full(1000, 5.0)
    values[::50] = np.inf
    found = tail(values, np.arange(1000) * 10_000_000, 0.99)
    assert ("inf", "inf") == (found.value_ms, found.high_ms)


def test_the_order_interval_encloses_the_true_p99() -> None:
    """Over 2,000 samples of 1,000 exponentials the 95 % interval misses the true p99 in at most 5 %."""
    truth = -math.log(0.01)
    draws = np.sort(np.random.default_rng(11).exponential(size=(2000, 1000)), axis=1)
    found = [order_interval(sample, 0.99) for sample in draws]
    hits = np.mean([bounds.low <= truth <= bounds.high for bounds in found if bounds.low and bounds.high])
    # Three standard errors below 0.95; above it, since order statistics can only overcover.
    assert 0.935 <= hits <= 0.985


def test_too_few_values_bound_nothing_above() -> None:
    """No 100 values can say how bad the true p99 may be: the upper end is open, and p99 itself not shown."""
    found = tail(np.arange(1.0, 101.0), np.arange(100), 0.99)
    assert (None, 97.0, None) == (found.value_ms, found.low_ms, found.high_ms)


def test_nothing_has_no_tail() -> None:
    """No values, no numbers: not 0, not an error."""
    found = tail(np.zeros(0), np.zeros(0, np.int64), 0.99)
    assert (None, None, None, "") == (found.value_ms, found.low_ms, found.high_ms, found.method)


def sample(
    rng: np.random.Generator, seconds: int, per_s: int, shared: float
) -> tuple[np.ndarray, np.ndarray]:
    """Latencies whose logarithm is normal with variance 1; so much of it is shared by the requests of a stall
    (stretches of half a second)."""
    intended_ns = np.arange(seconds * per_s, dtype=np.int64) * (1_000_000_000 // per_s)
    stall = rng.normal(size=2 * seconds)[np.arange(len(intended_ns)) * 2 // per_s]
    own = rng.normal(size=len(intended_ns))
    return np.exp(math.sqrt(shared) * stall + math.sqrt(1 - shared) * own), intended_ns


P90 = math.exp(1.2815515655446004)


def coverage(shared: float) -> tuple[float, float, float]:
    """Share of 200 runs of a minute in which the order, block and reported interval hold the true p90."""
    rng = np.random.default_rng(17)
    hits = []
    for _ in range(200):
        latency_ms, intended_ns = sample(rng, 60, 50, shared)
        ranked = np.sort(latency_ms)
        order = order_interval(ranked, 0.9)
        block = block_interval(ranked, latency_ms, intended_ns, 0.9)
        found = tail(latency_ms, intended_ns, 0.9)
        assert block is not None
        ends = ((order.low, order.high), (block.low, block.high), (found.low_ms, found.high_ms))
        hits.append([float(low or 0) <= P90 <= float(high or math.inf) for low, high in ends])
    order_hits, block_hits, reported_hits = np.mean(hits, axis=0).tolist()
    return order_hits, block_hits, reported_hits


def test_both_intervals_hold_for_independent_requests() -> None:
    """Near 95 % each (200 runs: standard error 1.5 %), and the wider one at least as often."""
    order, block, reported = coverage(shared=0.0)
    assert order >= 0.91
    assert block >= 0.91
    assert reported >= max(order, block) - 1e-9


def test_only_blocks_hold_for_requests_that_share_their_fate() -> None:
    """Where half the variance is shared by half a second, order statistics miss most of the time; the block
    interval, which is the one reported, does not."""
    order, block, reported = coverage(shared=0.5)
    assert order < 0.6
    assert block >= 0.9
    assert reported >= block


def test_the_wider_interval_is_reported_with_its_name() -> None:
    """Independent requests or not, the ends are one method's own."""
    rng = np.random.default_rng(2)
    latency_ms, intended_ns = sample(rng, 60, 50, 0.5)
    found = tail(latency_ms, intended_ns, 0.9)
    block = block_interval(np.sort(latency_ms), latency_ms, intended_ns, 0.9)
    assert block is not None
    assert ("block bootstrap", block.low, block.high) == (found.method, found.low_ms, found.high_ms)
    short = tail(latency_ms[:40], intended_ns[:40], 0.9)
    assert "order statistics" == short.method


def test_counts_on_a_grid_are_as_good_as_sorting_again() -> None:
    """The grid's interval holds that of resamples sorted in full, and is at most a few ranks wider."""
    latency_ms, intended_ns = sample(np.random.default_rng(6), 60, 50, 0.5)
    ranked = np.sort(latency_ms)
    found = block_interval(ranked, latency_ms, intended_ns, 0.9)
    assert found is not None
    rng = np.random.default_rng(7)
    drawn = []
    for _ in range(2000):
        # Blocks of a second beginning at any quarter of one: 50 requests from each multiple of 12.5.
        starts = np.ceil(rng.integers(0, 240, 60) * 12.5).astype(int)
        picked = latency_ms[(starts[:, None] + np.arange(50)) % 3000].ravel()
        drawn.append(quantile(np.sort(picked), 0.9))
    low, high = np.quantile(drawn, [0.025, 0.975])
    ranks = np.searchsorted(ranked, [found.low, low, high, found.high]) / 3000
    assert found.low is not None
    assert found.high is not None
    assert pytest.approx(ranks[1], abs=0.01) == ranks[0]
    assert pytest.approx(ranks[2], abs=0.01) == ranks[3]


def test_the_mean_s_interval_holds_for_requests_that_share_their_fate() -> None:
    """Mean 0, half the variance shared: held in about 95 % of 300 runs."""
    rng = np.random.default_rng(23)
    hits = []
    for _ in range(300):
        latency_ms, intended_ns = sample(rng, 60, 50, 0.5)
        found = mean_interval(np.log(latency_ms), intended_ns)
        hits.append(not found.excludes(0.0))
    assert 0.91 <= np.mean(hits) <= 0.99


def test_silence_does_not_move_the_mean() -> None:
    """A gap of empty seconds between two busy ones draws no numbers from nowhere."""
    intended_ns = np.concatenate([np.arange(100), 60 * 10**11 + np.arange(100)]) * 10**7
    found = mean_interval(np.full(200, 0.25), intended_ns)
    assert (0.25, 0.25, 0.25) == (found.mean, found.low, found.high)


def test_a_run_shorter_than_two_blocks_has_a_plain_interval() -> None:
    """A second of requests is one block: they are resampled one by one."""
    values = np.random.default_rng(0).random(100)
    found = mean_interval(values, np.arange(100) * 10**6)
    assert found.low < values.mean() < found.high
