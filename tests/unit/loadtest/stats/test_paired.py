"""A against B: noise that pairs share cancels, and few pairs say little."""

from __future__ import annotations

import numpy as np
import pytest

from loadtest.stats.paired import compare


def blocks(ratio: float, pairs: int, noise: float, seed: int = 0) -> tuple[list[float], list[float]]:
    """p99s whose pairs share the machine's mood, which varies by a factor of two."""
    rng = np.random.default_rng(seed)
    mood = rng.uniform(10, 20, pairs)
    a = mood * rng.lognormal(0, noise, pairs)
    b = mood * ratio * rng.lognormal(0, noise, pairs)
    return a.tolist(), b.tolist()


@pytest.mark.parametrize(("ratio", "verdict"), [(0.9, "faster"), (1.1, "slower"), (1.0, "equivalent")])
def test_ten_per_cent_is_seen_through_a_machine_that_varies_twofold(ratio: float, verdict: str) -> None:
    """Ten pairs with 2 % noise inside a pair are enough."""
    found = compare(*blocks(ratio, 10, 0.02), 0.05, lower_is_better=True)
    assert verdict == found.verdict
    assert found.ratio.low <= ratio <= found.ratio.high


def test_of_goodput_more_is_better() -> None:
    """The words turn round where a high figure is the good one."""
    assert "worse" == compare(*blocks(0.9, 10, 0.02), 0.05, lower_is_better=False).verdict
    assert "better" == compare(*blocks(1.1, 10, 0.02), 0.05, lower_is_better=False).verdict


def test_noise_is_unclear() -> None:
    """Neither a difference nor equality is shown by five pairs with 30 % noise."""
    assert "unclear" == compare(*blocks(1.0, 5, 0.3), 0.05, lower_is_better=True).verdict


def test_an_interval_inside_the_margin_is_equivalent_even_when_it_excludes_one() -> None:
    """A difference of 1 %, however sure, is none that matters at a margin of 5 %."""
    found = compare(*blocks(1.01, 20, 0.001), 0.05, lower_is_better=True)
    assert found.ratio.excludes(1.0)
    assert "equivalent" == found.verdict


@pytest.mark.parametrize("pairs", [2, 4, 8])
def test_two_like_servers_are_seldom_told_apart(pairs: int) -> None:
    """Of 300 comparisons of a server with itself, at most 7 % find a difference, with few pairs too."""
    found = [
        compare(*blocks(1.0, pairs, 0.1, seed), 0.001, lower_is_better=True).verdict for seed in range(300)
    ]
    assert sum(verdict in ("faster", "slower") for verdict in found) <= 21


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0]), ([1.0, 1.0], [1.0]), ([1.0, 0.0], [1.0, 1.0])])
def test_what_has_no_ratio_is_refused(a: list[float], b: list[float]) -> None:
    """One pair, a lonely block, or a figure of 0."""
    with pytest.raises(ValueError, match=r"pairs|ratio"):
        compare(a, b, 0.05, lower_is_better=True)


def test_no_margin_no_equality() -> None:
    """A margin of 0 would make nothing equal."""
    with pytest.raises(ValueError, match="margin"):
        compare([1.0, 1.0], [1.0, 1.0], 0.0, lower_is_better=True)
