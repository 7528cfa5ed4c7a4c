"""What the orders were worth to those who asked: nDCG over all scheduled requests.

Rule: a request counts whatever became of it. In budget its user saw the returned order, else the prior's:
what a caller falls back to. So one number trades latency, refusals, degradation and quantisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loadtest.fold.totals import fully_scored, kept_budget, latencies_ms
from loadtest.records import NOT_ADMITTED, Records, stretch
from loadtest.result import Losses, Quality
from loadtest.stats.intervals import mean_interval
from loadtest.truth import Truth
from measures.ndcg import Judged

_ORDERS_PER_BLOCK: Final = 1 << 15
"""Orders looked at at once: bounds memory at about 20 MiB."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """nDCG of each message's known orders, float64 [messages]; NaN = nothing is relevant, or not asked.

    Attributes:
        prior: of the prior order.
        alone, against: of the idle server's, served and unquantised; NaN where not asked about both.
        candidates: int64 [messages].
    """

    prior: NDArray[np.float64]
    alone: NDArray[np.float64]
    against: NDArray[np.float64]
    candidates: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """What each of n requests was worth, in the records' order. NaN = its message has no relevant candidate.

    Attributes:
        k: of the measures.
        known: by message.
        message, intended_ns: of the record.
        in_time, full, refused: bool; answered within budget, nothing given up, not admitted.
        scored: candidates of the answer where it came in time, else 0.
        perceived: nDCG of what the user saw.
        reciprocal: 1 / rank of the first relevant candidate in the first k of what the user saw; 0 = none.
        overlap: of the answer in time with the unquantised order; NaN where there is not both.
    """

    k: int
    known: Known
    message: NDArray[np.uint32]
    intended_ns: NDArray[np.int64]
    in_time: NDArray[np.bool_]
    full: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    scored: NDArray[np.uint16]
    perceived: NDArray[np.float64]
    reciprocal: NDArray[np.float64]
    overlap: NDArray[np.float64]

    def where(self, part: NDArray[Any]) -> Worth:
        """Those under a mask or at ascending indices; views when they are one stretch."""
        columns = [getattr(self, field.name) for field in fields(self)[2:]]
        at = stretch(part)
        return Worth(self.k, self.known, *(column[at] for column in columns))


def per_request(records: Records, truth: Truth, budgets_ms: Sequence[float], k: int) -> Worth:
    """Value each request.

    Args:
        budgets_ms: by class of the mix.
        k: 1 to records.TOP.
    """
    rows = records.rows
    message = rows["message"].copy()
    in_time = kept_budget(records, latencies_ms(records), budgets_ms)
    judged = truth.judged(k)
    known = _known(judged, truth)
    perceived = known.prior[message]
    reciprocal = _reciprocal_ranks(judged, truth.prior_top, np.arange(len(truth.asked)))[message]
    overlap = np.full(len(rows), np.nan)
    at_time = np.flatnonzero(in_time)
    for at in range(0, len(at_time), _ORDERS_PER_BLOCK):
        some = at_time[at : at + _ORDERS_PER_BLOCK]
        top, whose = rows["top"][some], message[some]
        perceived[some] = judged.ndcg(top, whose)
        reciprocal[some] = _reciprocal_ranks(judged, top, whose)
        overlap[some] = _overlaps(top[:, :k], truth.against_top[whose, :k])
    overlap[~truth.referenced[message]] = np.nan
    return Worth(
        k=k,
        known=known,
        message=message,
        intended_ns=rows["intended_ns"].copy(),
        in_time=in_time,
        full=fully_scored(records),
        refused=records.ended(*NOT_ADMITTED),
        scored=np.where(in_time, rows["scored"], 0).astype(np.uint16),
        perceived=perceived,
        reciprocal=reciprocal,
        overlap=overlap,
    )


def fold(worth: Worth, duration_s: float) -> Quality | None:
    """Fold the requests that have a relevant candidate; None when none has.

    Args:
        duration_s: > 0, over which they were intended.
    """
    valued = ~np.isnan(worth.perceived)
    if not valued.any():
        return None
    worth = worth.where(valued)
    perceived = mean_interval(worth.perceived, worth.intended_ns)
    # The ideal order, worth 1, stands in where no unquantised one is known, or that one found nothing.
    best = np.where(worth.known.against > 0, worth.known.against, 1.0)
    weight = np.where(worth.in_time, worth.perceived / best[worth.message], 0.0)
    compared = worth.overlap[~np.isnan(worth.overlap)]
    return Quality(
        k=worth.k,
        requests=len(worth.perceived),
        perceived=perceived.mean,
        perceived_low=perceived.low,
        perceived_high=perceived.high,
        prior=float(worth.known.prior[worth.message].mean()),
        mrr=float(worth.reciprocal.mean()),
        overlap=float(compared.mean()) if len(compared) else None,
        coverage=int(worth.scored.sum()) / int(worth.known.candidates[worth.message].sum()),
        weighted_goodput_per_s=float(weight.sum()) / duration_s,
        degraded_weighted_goodput_per_s=float(weight[~worth.full].sum()) / duration_s,
        losses=_losses(worth),
    )


def _known(judged: Judged, truth: Truth) -> Known:
    every = np.arange(len(truth.asked))
    unasked = np.where(truth.referenced, 0.0, np.nan)
    return Known(
        prior=judged.ndcg(truth.prior_top, every),
        alone=judged.ndcg(truth.alone_top, every) + unasked,
        against=judged.ndcg(truth.against_top, every) + unasked,
        candidates=truth.candidates,
    )


def _losses(worth: Worth) -> Losses | None:
    """Each request loses along one way: reference -> served -> returned, or -> served -> prior."""
    asked = np.flatnonzero(~np.isnan(worth.known.against)[worth.message])
    if len(asked) == 0:
        return None
    message, in_time, refused = worth.message[asked], worth.in_time[asked], worth.refused[asked]
    against, alone = worth.known.against[message], worth.known.alone[message]
    perceived = worth.perceived[asked]
    given_up = alone - perceived
    return Losses(
        requests=len(asked),
        reference=float(against.mean()),
        perceived=float(perceived.mean()),
        quantisation=float((against - alone).mean()),
        degradation=float(np.where(in_time, given_up, 0.0).mean()),
        lateness=float(np.where(in_time | refused, 0.0, given_up).mean()),
        refusal=float(np.where(refused, given_up, 0.0).mean()),
    )


def _reciprocal_ranks(judged: Judged, top: NDArray[Any], messages: NDArray[Any]) -> NDArray[np.float64]:
    """As `measures.mrr.reciprocal_rank` of many orders; also 0 where nothing is relevant."""
    ranks = top[:, : judged.k].astype(np.int64)
    where = np.where(ranks >= 0, ranks + judged.offsets[messages][:, None], 0)
    relevant = (judged.labels[where] > 0) & (ranks >= 0)
    first = relevant.argmax(axis=1)
    found: NDArray[np.float64] = np.where(relevant.any(axis=1), 1.0 / (first + 1), 0.0)
    return found


def _overlaps(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """As `measures.agreement.top_k_overlap` of many orders [n, k]; NaN where one is empty."""
    both = ((a[:, :, None] == b[:, None, :]) & (a >= 0)[:, :, None]).sum(axis=(1, 2))
    ranks = np.minimum((a >= 0).sum(axis=1), (b >= 0).sum(axis=1))
    found = np.full(len(a), np.nan)
    np.divide(both, ranks, out=found, where=ranks > 0)
    return found
