"""Binomial tests of "at most this share may": the verdict, and how many requests it takes.

MLPerf LoadGen's early stopping (`early_stopping.cc`, tolerance 0): were the true share of violations exactly
the allowed one, X ~ Bin(n, allowed) of n requests would violate. PASS when so few as were seen would then be
rarer than alpha, FAIL when so many would, else INCONCLUSIVE.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Final

from scipy.stats import binom

from loadtest.verdict import Verdict

POWER: Final = 0.8
"""Chance of a PASS that a planned run should have."""
REQUESTS_MAX: Final = 1 << 32
"""Beyond it a plan is no plan."""
_SLACK: Final = 1e-9
"""Of products that would be whole numbers, were they not floats."""


def decide(n: float, violations: float, allowed: float, alpha: float) -> Verdict:
    """PASS, FAIL or INCONCLUSIVE.

    Counts scaled to effective ones are not whole. Each test rounds them against itself: PASS is tested with n
    rounded down and violations up, FAIL with n up and violations down.

    Args:
        n: requests, >= 0.
        violations: of them, in [0, n].
        allowed: share that may violate, in (0, 1).
        alpha: chance that a server exactly at `allowed` passes, or fails; in (0, 0.5].

    Raises:
        ValueError: an argument is out of its range.
    """
    if not 0 <= violations <= n + _SLACK:
        raise ValueError(f"violations must lie in [0, n], got {violations} of {n}")
    _check(allowed, alpha)
    fewest, most = math.floor(n + _SLACK), math.ceil(n - _SLACK)
    if fewest > 0 and binom.cdf(min(math.ceil(violations - _SLACK), fewest), fewest, allowed) < alpha:
        return Verdict.PASS
    if binom.sf(math.floor(violations + _SLACK) - 1, most, allowed) < alpha:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


def violations_max(n: int, allowed: float, alpha: float) -> int | None:
    """The most violations with which n requests pass; None = n are too few to pass even without one.

    Raises:
        ValueError: as `decide`.
    """
    _check(allowed, alpha)
    # ppf is the smallest count whose cdf reaches alpha, so the one before it is the last that stays below.
    most = int(binom.ppf(alpha, n, allowed)) - 1
    return most if most >= 0 else None


@functools.cache
def requests_min(percentile_share: float, confidence: float, violations: int = 1) -> int:
    """The fewest requests of which so many may violate in a PASS: with fewer a percentile is hearsay.

    With one violation at 99 % confidence: 662 for p99, 6,636 for p99.9, 66,381 for p99.99.

    Args:
        percentile_share: 0.99 = p99.

    Raises:
        ValueError: a share outside (0, 1), or fewer than 0 violations.
    """
    allowed, alpha = 1 - percentile_share, 1 - confidence
    _check(allowed, alpha)
    if violations < 0:
        raise ValueError(f"violations must be >= 0, got {violations}")
    found = _smallest(lambda n: bool(binom.cdf(violations, n, allowed) < alpha))
    if found is None:
        raise ValueError(f"no number of requests shows the percentile {percentile_share}")
    return found


@functools.cache
def requests_for_verdict(violation_ratio: float, allowed: float, confidence: float) -> int | None:
    """How many requests a run needs to pass with a chance of 80 %, when this share truly violates.

    None = none would do: the share is not below the allowed one (or so close that 2**32 are too few). The
    chance rises in a saw-tooth; of the lengths near the first tooth that reaches 80 %, one is given.

    Raises:
        ValueError: a share outside its range.
    """
    alpha = 1 - confidence
    _check(allowed, alpha)
    if not 0 <= violation_ratio <= 1:
        raise ValueError(f"a ratio must lie in [0, 1], got {violation_ratio}")
    if violation_ratio >= allowed:
        return None

    def likely(n: int) -> bool:
        most = violations_max(n, allowed, alpha)
        return most is not None and bool(binom.cdf(most, n, violation_ratio) >= POWER)

    return _smallest(likely)


def _smallest(holds: Callable[[int], bool]) -> int | None:
    """The smallest n >= 1 for which it holds, when it holds for all larger ones too."""
    high = 1
    while not holds(high):
        high *= 2
        if high > REQUESTS_MAX:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _check(allowed: float, alpha: float) -> None:
    if not 0 < allowed < 1:
        raise ValueError(f"the allowed share must lie between 0 and 1, got {allowed}")
    if not 0 < alpha <= 0.5:
        raise ValueError(f"alpha must lie in (0, 0.5], got {alpha}")
