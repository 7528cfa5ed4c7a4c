"""Records to numbers. Pure folds.

Two rules make the tail honest. *Intended time*: latency is done - intended, so that a stall is charged for
every request it held up, also those the client could not send meanwhile ("coordinated omission").
*+inf*: an admitted request without an answer has latency +inf; failures are not missing data.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from loadtest.records import ANSWERED, ENDINGS, NEVER_NS, NOT_ADMITTED, UNSENT, Records
from loadtest.workload import Judgement
from measures.ndcg import ndcg

Milliseconds = float | None
"""None = +inf: more than that share of the requests was never answered."""

SPECTRUM: Final = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, 1.0)
K: Final = 10


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Nearest-rank percentiles of n values: each one is a value that occurred.

    Attributes:
        p99_ci95: order statistics that enclose the true p99 with 95 % confidence, whatever the distribution;
            None at either end = too few values to bound it.
    """

    n: int
    p50_ms: Milliseconds
    p90_ms: Milliseconds
    p99_ms: Milliseconds
    p999_ms: Milliseconds
    max_ms: Milliseconds
    p99_ci95: tuple[Milliseconds, Milliseconds]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """How many ended in one way without an answer."""

    ending: str
    reason: str
    count: int


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """nDCG@10 over all scheduled requests that have a relevant candidate.

    Attributes:
        perceived: of what the user saw: the returned order when it came within budget, else the prior's.
        prior: of the prior order, had there been no server.
    """

    perceived: float
    prior: float
    requests: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a run, warm-up left out.

    Attributes:
        latency: done - intended of the admitted, +inf when never answered: the headline.
        service: done - sent of the answered.
        server: arrival to reply by the server's own clock, of the answered.
        send_lag: sent - intended of all that was sent.
        in_time: answered within budget, degraded ones too.
        degraded: answered with candidates left unscored.
        goodput_per_s: answers with every candidate scored, within budget.
    """

    scheduled: int
    admitted: int
    answered: int
    in_time: int
    degraded: int
    unsent: int
    violations: int
    offered_per_s: float
    answered_per_s: float
    goodput_per_s: float
    latency: Percentiles
    service: Percentiles
    server: Percentiles
    send_lag: Percentiles
    spectrum: list[tuple[float, Milliseconds]]
    refused: list[Refused]
    quality: Quality | None


def fold(
    records: Records, budget_ms: float, duration_s: float, judgement: Judgement | None = None
) -> Summary:
    """Summarise the measured records (`Records.since` the end of the warm-up)."""
    rows = records.rows
    answered, admitted = records.ended(ANSWERED), ~records.ended(*NOT_ADMITTED)
    latency_ms = latencies_ms(records)
    in_time = answered & (latency_ms <= budget_ms)
    full = answered & (rows["scored"] == rows["candidates"])
    sent = rows["sent_ns"] != NEVER_NS
    return Summary(
        scheduled=len(rows),
        admitted=int(admitted.sum()),
        answered=int(answered.sum()),
        in_time=int(in_time.sum()),
        degraded=int((answered & ~full).sum()),
        unsent=int(records.ended(UNSENT).sum()),
        violations=int((admitted & ~in_time).sum()),
        offered_per_s=len(rows) / duration_s,
        answered_per_s=int(answered.sum()) / duration_s,
        goodput_per_s=int((full & in_time).sum()) / duration_s,
        latency=percentiles(latency_ms[admitted]),
        service=percentiles((rows["done_ns"] - rows["sent_ns"])[answered] / 1e6),
        server=percentiles(rows["server_us"][answered] / 1e3),
        send_lag=percentiles((rows["sent_ns"] - rows["intended_ns"])[sent] / 1e6),
        spectrum=[(share, quantile(latency_ms[admitted], share)) for share in SPECTRUM],
        refused=_refused(records),
        quality=None if judgement is None else _quality(rows, in_time, judgement),
    )


def latencies_ms(records: Records) -> NDArray[np.float64]:
    """done - intended, float64 [records]; +inf when there was no answer."""
    rows = records.rows
    elapsed_ms = (rows["done_ns"] - rows["intended_ns"]) / 1e6
    return np.where(records.ended(ANSWERED), elapsed_ms, np.inf)


def quantile(values: NDArray[Any], share: float) -> Milliseconds:
    """The nearest-rank quantile: the smallest value that at least `share` of the values do not exceed."""
    return _at(np.sort(values), math.ceil(share * len(values) - 1e-9) or 1)


def percentiles(values: NDArray[Any]) -> Percentiles:
    """Fold values in milliseconds, +inf among them or not."""
    ranked = np.sort(values)
    n = len(ranked)
    p50, p90, p99, p999, most = (quantile(ranked, share) for share in (0.5, 0.9, 0.99, 0.999, 1.0))
    return Percentiles(
        n=n,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=most,
        p99_ci95=order_interval(ranked, 0.99),
    )


def order_interval(
    ranked: NDArray[Any], share: float, confidence: float = 0.95
) -> tuple[Milliseconds, Milliseconds]:
    """Distribution-free interval of a quantile, from ascending values.

    The number of values below the true quantile is Bin(n, share), so the values at that distribution's own
    quantiles enclose it (David and Nagaraja, "Order Statistics", section 7.1).
    """
    n, tail = len(ranked), (1 - confidence) / 2
    if n == 0:
        return None, None
    low, high = binom.ppf([tail, 1 - tail], n, share)
    return _at(ranked, int(low)), _at(ranked, int(high) + 1)


def _at(ranked: NDArray[Any], rank: int) -> Milliseconds:
    """The rank-th smallest (from 1); None when there is none, or when it is +inf."""
    if not 1 <= rank <= len(ranked) or not np.isfinite(ranked[rank - 1]):
        return None
    return float(ranked[rank - 1])


def _refused(records: Records) -> list[Refused]:
    rows = records.rows[~records.ended(ANSWERED)]
    pairs, counts = np.unique(np.stack([rows["ending"], rows["reason"]]), axis=1, return_counts=True)
    found = [
        Refused(ending=ENDINGS[ending], reason=records.reasons[reason], count=int(count))
        for (ending, reason), count in zip(pairs.T.tolist(), counts, strict=True)
    ]
    return sorted(found, key=lambda entry: -entry.count)


def _quality(rows: NDArray[Any], in_time: NDArray[np.bool_], judgement: Judgement) -> Quality | None:
    prior = np.array([ndcg(*both, K) for both in zip(judgement.labels, judgement.prior_orders, strict=True)])
    perceived = prior[rows["message"]]
    for at in np.flatnonzero(in_time):
        returned = rows["top"][at]
        perceived[at] = ndcg(judgement.labels[rows["message"][at]], returned[returned >= 0], K)
    says_something = ~np.isnan(perceived)
    if not says_something.any():
        return None
    return Quality(
        perceived=float(perceived[says_something].mean()),
        prior=float(prior[rows["message"]][says_something].mean()),
        requests=int(says_something.sum()),
    )
