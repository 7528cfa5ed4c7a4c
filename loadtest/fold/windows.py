"""A run second by second, by intended instants.

A window's percentiles describe its own few requests: each is a value that occurred in it, also where they are
too few to say anything about the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadtest.fold.totals import kept_budget, latencies_ms
from loadtest.records import ANSWERED, ERRORS, NOT_ADMITTED, Records
from loadtest.result import Window
from loadtest.stats.intervals import quantile, shown

WINDOW_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase on the records' axis of time (of one look, when there were several).

    Attributes:
        load: mean planned, in multiples of the scenario's rate.
    """

    name: str
    measured: bool
    load: float
    starts_ns: int
    ends_ns: int


def fold(
    records: Records,
    stretches: Sequence[Stretch],
    budgets_ms: Sequence[float],
    perceived: NDArray[np.float64] | None,
) -> list[Window]:
    """One window per second of each stretch, from its beginning; its last one may be shorter.

    Args:
        records: by intended instant.
        stretches: one after the other; what was intended outside of them is left out.
        budgets_ms: by class of the mix.
        perceived: nDCG of each record (`quality.Worth.perceived`).
    """
    intended_ns = records.rows["intended_ns"].copy()
    latency_ms = latencies_ms(records)
    admitted = ~records.ended(*NOT_ADMITTED)
    in_time = kept_budget(records, latency_ms, budgets_ms)
    answered, errors = records.ended(ANSWERED), records.ended(*ERRORS)
    found = []
    for stretch, from_ns, until_ns in _seconds(stretches):
        low, high = np.searchsorted(intended_ns, [from_ns, until_ns]).tolist()
        part = slice(low, high)
        ranked = np.sort(latency_ms[part][admitted[part]])
        p50, p99, most = (shown(quantile(ranked, at)) if len(ranked) else None for at in (0.5, 0.99, 1.0))
        found.append(
            Window(
                t_s=from_ns / 1e9,
                phase=stretch.name,
                measured=stretch.measured,
                offered=high - low,
                answered=int(np.count_nonzero(answered[part])),
                in_time=int(np.count_nonzero(in_time[part])),
                refused=high - low - len(ranked),
                errors=int(np.count_nonzero(errors[part])),
                p50_ms=p50,
                p99_ms=p99,
                max_ms=most,
                perceived_ndcg=None if perceived is None else _mean(perceived[part]),
            )
        )
    return found


def _seconds(stretches: Sequence[Stretch]) -> Iterator[tuple[Stretch, int, int]]:
    for stretch in stretches:
        for from_ns in range(stretch.starts_ns, stretch.ends_ns, WINDOW_NS):
            yield stretch, from_ns, min(from_ns + WINDOW_NS, stretch.ends_ns)


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
