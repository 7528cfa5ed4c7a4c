"""Quantiles and means with intervals that believe neither in a distribution nor in independence.

Two intervals are made of every percentile. *Order statistics* need no distribution but independent requests.
The *circular block bootstrap* (Politis and Romano, 1992) resamples stretches of a second of intended time, so
that what shares a batch or a stall stays together. The wider one is reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm
from scipy.stats import t as student

from loadtest.result import Milliseconds, Tail
from loadtest.stats.binomial import requests_min
from measures.interval import Interval, bootstrap_mean

CONFIDENCE: Final = 0.95
CONFIDENCE_OF_FLOOR: Final = 0.99
"""Of `requests_min`, below which a percentile is not printed."""
BLOCK_NS: Final = 1_000_000_000
RESAMPLES: Final = 1000
CELLS_PER_BLOCK: Final = 4
"""A block may begin at any quarter of its length."""
BLOCKS_MAX: Final = 1024
"""Longer runs get longer blocks: bounds memory, and errs on the wide side."""
BLOCKS_MIN: Final = 2
GRID: Final = 256
"""Candidate values on each side of the estimate."""
_ROWS: Final = 256
"""Resamples at once: bounds memory at about 10 MiB."""
_VALUES: Final = 1 << 19
"""Values sorted into cells at once: the same."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """An interval of a quantile; high None = too few values to bound it."""

    low: float | None
    high: float | None


def nearest_rank(n: int, share: float) -> int:
    """Rank, from 1, of the smallest of n values that at least `share` of them do not exceed."""
    # 0.99 * 100 is a little more than 99 in floats, and must not become 100.
    return min(max(math.ceil(share * n - 1e-9), 1), n)


def quantile(ranked: NDArray[np.float64], share: float) -> float:
    """Nearest-rank quantile of ascending values, +inf among them or not: a value that occurred.

    Raises:
        ValueError: no values.
    """
    if len(ranked) == 0:
        raise ValueError("nothing has no quantile")
    return float(ranked[nearest_rank(len(ranked), share) - 1])


def shown(value: float) -> Milliseconds:
    """As a result says it."""
    return "inf" if math.isinf(value) else float(value)


def percentile(ranked: NDArray[np.float64], share: float) -> Milliseconds:
    """The quantile as a result says it; None when there are too few values for it to mean anything."""
    extreme = share in (0.0, 1.0)
    few = len(ranked) == 0 or (not extreme and len(ranked) < requests_min(share, CONFIDENCE_OF_FLOOR))
    return None if few else shown(quantile(ranked, share))


def tail(
    latency_ms: NDArray[np.float64],
    intended_ns: NDArray[np.int64],
    share: float,
    confidence: float = CONFIDENCE,
) -> Tail:
    """A percentile with the wider of its two intervals.

    Args:
        latency_ms: float64 [n], +inf = never answered.
        intended_ns: int64 [n], where on the axis of time.
        share: 0.99 = p99.
    """
    ranked = np.sort(latency_ms)
    order = order_interval(ranked, share, confidence)
    block = block_interval(ranked, latency_ms, intended_ns, share, confidence)
    wider = block is not None and _width(block) > _width(order)
    found = block if block is not None and wider else order
    return Tail(
        percentile=100 * share,
        value_ms=percentile(ranked, share),
        low_ms=None if found.low is None else shown(found.low),
        high_ms=None if found.high is None else shown(found.high),
        method="" if len(ranked) == 0 else "block bootstrap" if wider else "order statistics",
        confidence=confidence,
    )


def order_interval(ranked: NDArray[np.float64], share: float, confidence: float = CONFIDENCE) -> Bounds:
    """Distribution-free interval of a quantile, from ascending independent values.

    The number of values below the true quantile is Bin(n, share), so the values at that distribution's own
    quantiles enclose it (David and Nagaraja, "Order Statistics", section 7.1).
    """
    n, rest = len(ranked), (1 - confidence) / 2
    if n == 0:
        return Bounds(None, None)
    low, high = (int(rank) for rank in binom.ppf([rest, 1 - rest], n, share))
    return Bounds(
        float(ranked[low - 1]) if low >= 1 else None,
        float(ranked[high]) if high < n else None,
    )


def block_interval(
    ranked: NDArray[np.float64],
    latency_ms: NDArray[np.float64],
    intended_ns: NDArray[np.int64],
    share: float,
    confidence: float = CONFIDENCE,
) -> Bounds | None:
    """Circular-block bootstrap interval of a quantile; None with fewer than two blocks.

    Nothing is sorted again: a resample is a sum of per-block counts of "at most g", over a grid of values g
    that occurred. The grid holds every rank near the estimate and is geometric further out (ratio n**(1/256),
    6 % at 3 million), and both ends are rounded outward to it: the interval is too wide by at most that share
    of its end's distance, in ranks, from the estimate.

    Args:
        ranked: `latency_ms`, ascending.
    """
    blocks = _Blocks.of(intended_ns)
    if blocks is None:
        return None
    grid = _grid(ranked, share)
    counts = np.zeros(blocks.cells * len(grid), np.int64)
    for first in range(0, len(latency_ms), _VALUES):
        some = slice(first, first + _VALUES)
        at = np.searchsorted(grid, latency_ms[some]) + blocks.cell[some].astype(np.int64) * len(grid)
        counts += np.bincount(at, minlength=len(counts))
    sums = blocks.resampled(np.cumsum(counts.reshape(blocks.cells, len(grid)), axis=1))
    # As in `nearest_rank`, of however many requests the drawn blocks hold.
    needed = np.maximum(np.ceil(share * sums[:, -1] - 1e-9), 1)
    reached = np.minimum((sums < needed[:, None]).sum(axis=1), len(grid) - 1)
    ends = blocks.levels(confidence)
    low = int(np.quantile(reached, ends[0], method="lower"))
    high = int(np.quantile(reached, ends[1], method="higher"))
    return Bounds(float(grid[max(low - 1, 0)]), float(grid[high]))


def mean_interval(
    values: NDArray[np.float64], intended_ns: NDArray[np.int64], confidence: float = CONFIDENCE
) -> Interval:
    """Mean with its circular-block bootstrap interval; a plain bootstrap with fewer than two blocks.

    Args:
        values: finite float64 [n].

    Raises:
        ValueError: no values, or one that is not finite.
    """
    blocks = _Blocks.of(intended_ns)
    if blocks is None:
        return bootstrap_mean(values, confidence, RESAMPLES)
    if not np.isfinite(values).all():
        raise ValueError("a mean needs finite values")
    table = np.stack([np.bincount(blocks.cell, values, blocks.cells), np.bincount(blocks.cell)], axis=1)
    sums = blocks.resampled(table)
    mean = float(values.mean())
    # A resample that drew only silent stretches says nothing: it counts as the mean.
    drawn = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), mean), where=sums[:, 1] > 0)
    low, high = np.quantile(drawn, blocks.levels(confidence))
    return Interval(mean, float(low), float(high))


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """Requests sorted into cells of time, of which CELLS_PER_BLOCK neighbours make a block.

    Attributes:
        cell: int32 [n], of each request.
        cells: how many there are, empty ones too.
    """

    cell: NDArray[np.int32]
    cells: int

    @classmethod
    def of(cls, intended_ns: NDArray[np.int64]) -> _Blocks | None:
        """None when the requests span fewer than two blocks."""
        if len(intended_ns) == 0:
            return None
        first = int(intended_ns.min())
        span_ns = int(intended_ns.max()) - first + 1
        cell_ns = max(BLOCK_NS, -(-span_ns // BLOCKS_MAX)) // CELLS_PER_BLOCK
        cell = ((intended_ns - first) // cell_ns).astype(np.int32)
        cells = int(cell.max()) + 1
        return cls(cell, cells) if cells >= BLOCKS_MIN * CELLS_PER_BLOCK else None

    @property
    def drawn(self) -> int:
        """Blocks in a resample."""
        return round(self.cells / CELLS_PER_BLOCK)

    def resampled(self, table: NDArray[Any]) -> NDArray[np.float64]:
        """Column sums of `table` [cells, columns] over random sets of blocks: [RESAMPLES, columns]."""
        ring = np.concatenate([table, table[: CELLS_PER_BLOCK - 1]])
        by_start = np.zeros(table.shape)
        for shift in range(CELLS_PER_BLOCK):
            by_start += ring[shift : shift + self.cells]
        rng = np.random.default_rng(0)
        sums = np.empty((RESAMPLES, table.shape[1]))
        for at in range(0, RESAMPLES, _ROWS):
            rows = min(_ROWS, RESAMPLES - at)
            starts = rng.integers(0, self.cells, size=(rows, self.drawn))
            starts += np.arange(rows)[:, None] * self.cells
            weights = np.bincount(starts.ravel(), minlength=rows * self.cells).reshape(rows, self.cells)
            sums[at : at + rows] = weights.astype(np.float64) @ by_start
        return sums

    def levels(self, confidence: float) -> tuple[float, float]:
        """The resamples' quantiles that make the interval's ends.

        Further out than (1 ± confidence) / 2 when blocks are few, as Student's t is than the normal (expanded
        percentiles: Hesterberg, "What Teachers Should Know About the Bootstrap", 2015).
        """
        n = self.drawn
        reach = math.sqrt(n / (n - 1)) * float(student.ppf((1 + confidence) / 2, n - 1))
        return float(norm.cdf(-reach)), float(norm.cdf(reach))


def _grid(ranked: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Values that occurred, ascending: dense at the estimate, and out to both ends."""
    n = len(ranked)
    away = np.unique(np.geomspace(1, max(n, 1), GRID).astype(np.int64))
    middle = nearest_rank(n, share)
    ranks = np.concatenate([middle - away, [middle], middle + away]).clip(1, n)
    return np.unique(ranked[ranks - 1])


def _width(bounds: Bounds) -> tuple[bool, float, float]:
    """To be compared: an open end is wider than an infinite one, and that than any other."""
    low = -math.inf if bounds.low is None else bounds.low
    if bounds.high is None or math.isinf(bounds.high):
        return bounds.high is None, math.inf, -low
    return False, bounds.high - low, -low
