"""Windows are differences of two samples; a quantile says between which bounds it lies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.history import History, Sample, difference, quantile
from server.metrics import Histogram, Metrics

BOUNDS = (0.001, 0.005, 0.02, 0.1)


@given(
    values=st.lists(st.floats(0.0001, 0.2), min_size=1, max_size=60), share=st.sampled_from([0.5, 0.9, 0.99])
)
def test_the_true_quantile_lies_between_the_bounds(values: list[float], share: float) -> None:
    """And so does the estimate, unless the value is above the ladder."""
    histogram = Histogram("h", "text", [], BOUNDS)
    for value in values:
        histogram.observe(value)
    found = quantile(histogram.counts[()], BOUNDS, share)
    assert found is not None
    true = np.quantile(values, share, method="inverted_cdf")
    high_s = float("inf") if found.high_s is None else found.high_s
    assert found.low_s <= true <= high_s
    assert found.low_s <= found.value_s <= high_s


def test_nothing_counted_has_no_quantile() -> None:
    """An idle server shows no number rather than zero."""
    assert quantile([0] * 5, BOUNDS, 0.99) is None


def test_a_window_forgets_what_was_before() -> None:
    """Only what came between the two samples counts, per model and reason."""
    then = Sample(
        0, {"a": [9, 0, 0, 0, 0]}, {"a": 1.0}, {"a": 9.0}, {"a": 1.0}, {("a", "X"): 3.0, ("a", "Y"): 1.0}
    )
    now = Sample(
        2_000_000_000,
        {"a": [9, 4, 0, 0, 0], "b": [7, 0, 0, 0, 0]},
        {"a": 2.0},
        {"a": 14.0},
        {"a": 2.0},
        {("a", "X"): 5.0, ("a", "Y"): 1.0, ("b", "X"): 8.0},
    )
    window = difference("a", then, now, BOUNDS)
    assert (2.0, 4, 3, 5, 1, {"X": 2}) == (
        window.seconds,
        window.answered,
        window.in_time,
        window.admitted,
        window.violations,
        window.refusals,
    )
    assert window.p99 is not None
    assert (0.001, 0.005) == (window.p99.low_s, window.p99.high_s)


def test_a_young_server_says_how_much_it_knows() -> None:
    """A minute is asked for, an instant has passed: the window spans that only."""
    metrics = Metrics(["a"], [])
    history = History(metrics)
    metrics.request_duration.observe(0.004, "a", "scored")
    window = history.window("a", 60)
    assert 1 == window.answered
    assert 0 < window.seconds < 60
    assert window.p50 is not None
    assert pytest.approx(0.004) == (window.p50.low_s + 0.001)
