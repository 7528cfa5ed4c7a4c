"""How long the server takes to come back after an overload."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from loadtest.fold.totals import fully_scored, kept_budget, latencies_ms
from loadtest.fold.windows import Stretch
from loadtest.records import Records
from loadtest.result import Recovery

STEP_NS: Final = 500_000_000
OVERLOAD: Final = 1.0
"""A scenario's rate is meant to be what the server can do: an overload is more than that."""
LOAD_RATIO_MAX: Final = 2 / 3
"""Of the load before: less of a fall is no end of an overload."""
BACK: Final = 0.95
"""Of the earlier share: then goodput is back."""
ALPHA: Final = 0.001
"""A half second counts as short only when so few good answers would be rarer than this at `BACK` of the
earlier share: of fifty requests three are late now and then, with or without an overload before."""


def fold(records: Records, stretches: Sequence[Stretch], budgets_ms: Sequence[float]) -> list[Recovery]:
    """One entry for each overload that is followed by a stretch of at most 2/3 of its load.

    The earlier share is that of the nearest stretch before the overload with at most 2/3 of its load; where
    there is none, everything should come in time.

    Args:
        records: by intended instant.
        stretches: one after the other.
        budgets_ms: by class of the mix.
    """
    intended_ns = records.rows["intended_ns"].copy()
    good = kept_budget(records, latencies_ms(records), budgets_ms) & fully_scored(records)
    found = []
    for at, (over, calm) in enumerate(itertools.pairwise(stretches)):
        if over.load <= OVERLOAD or not 0 < calm.load <= LOAD_RATIO_MAX * over.load:
            continue
        before = next(
            (one for one in reversed(stretches[:at]) if 0 < one.load <= LOAD_RATIO_MAX * over.load), None
        )
        share = 1.0 if before is None else _share(intended_ns, good, before)
        found.append(
            Recovery(
                after=over.name,
                phase=calm.name,
                share_before=share,
                seconds=_seconds(intended_ns, good, calm, BACK * share),
            )
        )
    return found


def _share(intended_ns: NDArray[np.int64], good: NDArray[np.bool_], stretch: Stretch) -> float:
    low, high = np.searchsorted(intended_ns, [stretch.starts_ns, stretch.ends_ns])
    return float(good[low:high].mean()) if high > low else 1.0


def _seconds(
    intended_ns: NDArray[np.int64], good: NDArray[np.bool_], calm: Stretch, wanted: float
) -> float | None:
    """From the stretch's start to the end of the last half second that fell short; None = its own last."""
    edges = np.arange(calm.starts_ns, calm.ends_ns + STEP_NS, STEP_NS).clip(max=calm.ends_ns)
    at = np.searchsorted(intended_ns, edges)
    counted = np.concatenate([[0], np.cumsum(good)])
    n, well = np.diff(at), np.diff(counted[at])
    short = np.flatnonzero((n > 0) & (binom.cdf(well, n, wanted) < ALPHA))
    if len(short) == 0:
        return 0.0
    # Silent half seconds at the end show no recovery.
    if short[-1] == np.flatnonzero(n > 0)[-1]:
        return None
    return float(edges[short[-1] + 1] - calm.starts_ns) / 1e9
