"""The verdict's test against scipy's own, the published table, and common sense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from loadtest.stats.binomial import decide, requests_for_verdict, requests_min, violations_max
from loadtest.verdict import Verdict

COUNTS = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
ALLOWED = st.sampled_from([0.001, 0.01, 0.05, 0.1])
ALPHA = st.sampled_from([0.01, 0.05])
GOODNESS = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]


@pytest.mark.parametrize(
    ("n", "passes_99", "passes_95", "fails_99"),
    [
        (459, 0, 0, 11),
        (1000, 2, 4, 19),
        (2000, 9, 12, 32),
        (5000, 33, 38, 68),
        (10_000, 77, 83, 125),
        (20_000, 167, 176, 234),
        (50_000, 448, 463, 553),
        (100_000, 927, 948, 1075),
    ],
)
def test_the_table_of_early_stopping(n: int, passes_99: int, passes_95: int, fails_99: int) -> None:
    """p99: most violations that pass and fewest that fail; 77 of 10,000 is MLCommons' own worked example."""
    assert (passes_99, passes_95) == (violations_max(n, 0.01, 0.01), violations_max(n, 0.01, 0.05))
    found = [decide(n, t, 0.01, 0.01) for t in (passes_99, passes_99 + 1, fails_99 - 1, fails_99)]
    assert [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.FAIL] == found


@given(COUNTS, ALLOWED, ALPHA)
def test_it_is_scipy_s_one_sided_test(counts: tuple[int, int], allowed: float, alpha: float) -> None:
    """Of whole counts, PASS is scipy's exact test of "fewer than allowed", FAIL that of "more"."""
    n, violations = counts
    fewer = binomtest(violations, n, allowed, alternative="less").pvalue
    more = binomtest(violations, n, allowed, alternative="greater").pvalue
    expected = Verdict.PASS if fewer < alpha else Verdict.FAIL if more < alpha else Verdict.INCONCLUSIVE
    assert expected == decide(n, violations, allowed, alpha)


@given(COUNTS, st.floats(0.05, 1.0), ALLOWED, ALPHA)
def test_scaled_counts_decide_no_more_than_whole_ones(
    counts: tuple[int, int], scale: float, allowed: float, alpha: float
) -> None:
    """Whatever effective n and t, the verdict holds for each way of rounding them."""
    n, violations = counts[0] * scale, counts[1] * scale
    found = decide(n, violations, allowed, alpha)
    if found is Verdict.PASS:
        assert Verdict.PASS == decide(int(n), min(-int(-violations // 1), int(n)), allowed, alpha)
        assert binom.cdf(int(violations), int(n) + 1, allowed) < alpha
    if found is Verdict.FAIL:
        assert binom.sf(int(violations) - 1, int(n) + 1, allowed) < alpha or n == int(n)


@given(COUNTS, ALLOWED, ALPHA)
def test_more_violations_never_better(counts: tuple[int, int], allowed: float, alpha: float) -> None:
    """Along t the verdict only worsens, and the last to pass is `violations_max`."""
    n, violations = counts
    here = GOODNESS.index(decide(n, violations, allowed, alpha))
    assert here >= GOODNESS.index(decide(n, min(violations + 1, n), allowed, alpha))
    most = violations_max(n, allowed, alpha)
    assert (most is not None and violations <= most) == (GOODNESS[here] is Verdict.PASS)


@given(COUNTS, ALLOWED, ALPHA)
def test_more_good_requests_never_worse(counts: tuple[int, int], allowed: float, alpha: float) -> None:
    """Along n, violations equal, the verdict only improves."""
    n, violations = counts
    here = GOODNESS.index(decide(n, violations, allowed, alpha))
    assert here <= GOODNESS.index(decide(n + 1, violations, allowed, alpha))


def test_a_rounding_error_is_no_violation() -> None:
    """77 violations that came out of a product as 77.0000000001 still pass."""
    assert Verdict.PASS == decide(10_000 - 1e-11, 77 + 1e-11, 0.01, 0.01)


def test_fractions_count_against_the_verdict() -> None:
    """77.2 of 10,000 count as 78: no PASS. 124.9 count as 124: no FAIL."""
    assert Verdict.INCONCLUSIVE == decide(10_000, 77.2, 0.01, 0.01) == decide(10_000, 124.9, 0.01, 0.01)


def test_nothing_decides_nothing() -> None:
    """Without a request, or with the effect of less than one, no verdict."""
    assert Verdict.INCONCLUSIVE == decide(0, 0, 0.01, 0.01) == decide(0.4, 0.0, 0.01, 0.01)
    assert violations_max(458, 0.01, 0.01) is None


@pytest.mark.parametrize(("share", "floor"), [(0.99, 662), (0.999, 6636), (0.9999, 66_381)])
def test_the_floors_of_percentiles(share: float, floor: int) -> None:
    """Below them a percentile prints as "too few"; one request fewer would not pass with one violation."""
    assert floor == requests_min(share, 0.99)
    assert Verdict.PASS == decide(floor, 1, 1 - share, 0.01)
    assert Verdict.INCONCLUSIVE == decide(floor - 1, 1, 1 - share, 0.01)


def test_without_a_violation_fewer_are_enough() -> None:
    """459 requests, all in time, show p99 at 99 % confidence."""
    assert 459 == requests_min(0.99, 0.99, violations=0)


@pytest.mark.parametrize("ratio", [0.0, 0.002, 0.005, 0.008])
def test_a_planned_run_is_likely_to_pass(ratio: float) -> None:
    """With so many requests a server of that ratio passes with 80 % chance; with a tenth fewer it does not
    reach 85 %."""
    n = requests_for_verdict(ratio, 0.01, 0.99)
    assert n is not None

    def chance(n: int) -> float:
        most = violations_max(n, 0.01, 0.01)
        return 0.0 if most is None else float(binom.cdf(most, n, ratio))

    assert chance(n) >= 0.8
    assert chance(n * 9 // 10) < 0.85


def test_no_plan_for_a_server_that_breaks_its_promise() -> None:
    """At the allowed ratio or above it, no number of requests makes a PASS likely."""
    assert requests_for_verdict(0.01, 0.01, 0.99) is None
    assert requests_for_verdict(0.5, 0.01, 0.99) is None


@pytest.mark.parametrize(("n", "t", "allowed", "alpha"), [(5, 6, 0.1, 0.1), (5, 1, 0, 0.1), (5, 1, 0.1, 0.6)])
def test_arguments_out_of_range_are_refused(n: int, t: int, allowed: float, alpha: float) -> None:
    """More violations than requests, a share of 0, an alpha that would pass and fail at once."""
    with pytest.raises(ValueError, match="must lie"):
        decide(n, t, allowed, alpha)
