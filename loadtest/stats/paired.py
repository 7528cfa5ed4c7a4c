"""Two servers compared by interleaved pairs of blocks: ratios within pairs, and what they amount to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.stats import t as student

from measures.interval import Interval, bootstrap_mean

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Comparison:
    """b against a.

    Attributes:
        pairs: of blocks.
        ratio: geometric mean of b / a with its 95 % interval.
        margin: within 1 / (1 + margin) and 1 + margin of one, a ratio counts as equal.
        verdict: "faster" / "slower" of a latency, "better" / "worse" of what should be high: the interval
            excludes 1; "equivalent": it lies inside the margin; "unclear": neither.
    """

    pairs: int
    ratio: Interval
    margin: float
    verdict: Literal["faster", "slower", "better", "worse", "equivalent", "unclear"]


def compare(a: Sequence[float], b: Sequence[float], margin: float, *, lower_is_better: bool) -> Comparison:
    """Compare blocks pair by pair.

    The interval is the wider, end by end, of a bootstrap of the log-ratios and of Student's t: a bootstrap of
    a handful of pairs never looks beyond them, and would call two lucky pairs a difference.

    Args:
        a, b: a figure > 0 of each block; a[i] and b[i] ran side by side.
        margin: > 0, relative.

    Raises:
        ValueError: fewer than two pairs, unequal lengths, a figure not finite and > 0, or margin <= 0.
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"two pairs or more are needed, got {len(a)} and {len(b)} blocks")
    if not all(math.isfinite(value) and value > 0 for value in (*a, *b)):
        raise ValueError("a ratio needs finite figures above 0")
    if margin <= 0:
        raise ValueError(f"the margin must be > 0, got {margin}")
    logs = np.log(np.asarray(b, np.float64)) - np.log(np.asarray(a, np.float64))
    resampled = bootstrap_mean(logs, CONFIDENCE)
    n = len(logs)
    half = float(student.ppf((1 + CONFIDENCE) / 2, n - 1) * logs.std(ddof=1) / math.sqrt(n))
    low = min(resampled.low, resampled.mean - half)
    high = max(resampled.high, resampled.mean + half)
    ratio = Interval(math.exp(resampled.mean), math.exp(low), math.exp(high))
    return Comparison(n, ratio, margin, _verdict(ratio, margin, lower_is_better))


def _verdict(
    ratio: Interval, margin: float, lower_is_better: bool
) -> Literal["faster", "slower", "better", "worse", "equivalent", "unclear"]:
    if 1 / (1 + margin) <= ratio.low and ratio.high <= 1 + margin:
        return "equivalent"
    if not ratio.excludes(1.0):
        return "unclear"
    if lower_is_better:
        return "faster" if ratio.mean < 1 else "slower"
    return "better" if ratio.mean > 1 else "worse"
