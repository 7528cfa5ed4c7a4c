"""Records to counts, rates and latencies.

Two rules make the tail honest. *Intended time*: latency is done - intended, so that a stall is charged for
every request it held up, also those that the client could not send meanwhile ("coordinated omission").
*+inf*: an admitted request without an answer has latency +inf; failures are not missing data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loadtest.records import ANSWERED, ENDINGS, ERRORS, NEVER_NS, NOT_ADMITTED, UNSENT, Records
from loadtest.result import Numbers, Percentiles, Refused
from loadtest.stats.intervals import percentile, shown, tail

SPECTRUM: Final = (
    *(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.96, 0.97, 0.98, 0.985),
    *(0.99, 0.9925, 0.995, 0.9975, 0.999, 0.9995, 0.9999, 1.0),
)
STEP_FULL: Final = 1
"""The quality ladder's first: nothing was given up."""


def fold(records: Records, budgets_ms: Sequence[float], duration_s: float, share: float) -> Numbers:
    """Fold some of a run's requests.

    Args:
        budgets_ms: by class of the mix.
        duration_s: > 0, over which they were intended.
        share: the slo's percentile, 0.99 = p99.
    """
    rows = records.rows
    answered, admitted = records.ended(ANSWERED), ~records.ended(*NOT_ADMITTED)
    latency_ms = latencies_ms(records)
    in_time = kept_budget(records, latency_ms, budgets_ms)
    full = fully_scored(records)
    sent = rows["sent_ns"] != NEVER_NS
    refused = ~admitted & (rows["done_ns"] != NEVER_NS)
    of_admitted = latency_ms[admitted]
    worst = tail(of_admitted, rows["intended_ns"][admitted], share)
    of_admitted.sort()
    return Numbers(
        scheduled=len(rows),
        admitted=len(of_admitted),
        answered=_count(answered),
        in_time=_count(in_time),
        degraded=_count(answered & ~full),
        unsent=_count(records.ended(UNSENT)),
        errors=_count(records.ended(*ERRORS)),
        violations=_count(admitted & ~in_time),
        offered_per_s=len(rows) / duration_s,
        answered_per_s=_count(answered) / duration_s,
        goodput_per_s=_count(in_time & full) / duration_s,
        degraded_goodput_per_s=_count(in_time & ~full) / duration_s,
        latency=_of_ranked(of_admitted),
        service=percentiles((rows["done_ns"] - rows["sent_ns"])[answered] / 1e6),
        server=percentiles(rows["server_us"][answered] / 1e3),
        refusal=percentiles((rows["done_ns"] - rows["intended_ns"])[refused] / 1e6),
        send_lag=percentiles((rows["sent_ns"] - rows["intended_ns"])[sent] / 1e6),
        tail=worst,
        spectrum=[(at, percentile(of_admitted, at)) for at in SPECTRUM],
        refused=_refused(records),
    )


def latencies_ms(records: Records) -> NDArray[np.float64]:
    """done - intended, float64 [records]; +inf when there was no answer."""
    rows = records.rows
    found: NDArray[np.float64] = (rows["done_ns"] - rows["intended_ns"]) / 1e6
    found[~records.ended(ANSWERED)] = np.inf
    return found


def kept_budget(
    records: Records, latency_ms: NDArray[np.float64], budgets_ms: Sequence[float]
) -> NDArray[np.bool_]:
    """bool [records]: answered within its class's budget; exactly the budget is within."""
    within: NDArray[np.bool_] = latency_ms <= np.asarray(budgets_ms, np.float64)[records.rows["class"]]
    return within & records.ended(ANSWERED)


def fully_scored(records: Records) -> NDArray[np.bool_]:
    """bool [records]: answered, and nothing was given up for it."""
    rows = records.rows
    full: NDArray[np.bool_] = (rows["scored"] == rows["candidates"]) & (rows["step"] <= STEP_FULL)
    return full & records.ended(ANSWERED)


def percentiles(values: NDArray[Any]) -> Percentiles:
    """Fold values in milliseconds, +inf among them or not."""
    return _of_ranked(np.sort(values))


def _of_ranked(ranked: NDArray[np.float64]) -> Percentiles:
    return Percentiles(
        n=len(ranked),
        p50_ms=percentile(ranked, 0.5),
        p90_ms=percentile(ranked, 0.9),
        p99_ms=percentile(ranked, 0.99),
        p999_ms=percentile(ranked, 0.999),
        max_ms=shown(ranked[-1]) if len(ranked) else None,
    )


def _count(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _refused(records: Records) -> list[Refused]:
    """Everything that ended without an answer, by ending and reason, the most frequent first."""
    rows = records.rows
    without = ~records.ended(ANSWERED)
    names = len(records.reasons)
    pairs = rows["ending"][without].astype(np.int64) * names + rows["reason"][without]
    counts = np.bincount(pairs)
    return [
        Refused(ending=ENDINGS[pair // names], reason=records.reasons[pair % names], count=int(counts[pair]))
        for pair in sorted(np.flatnonzero(counts).tolist(), key=lambda pair: -counts[pair])
    ]
