"""agreement: a variant ranks like its PyTorch original, on at least 1,000 requests.

More sensitive than quality, and needs no labels. Kendall's tau-b over all candidates of a request, the share
of the ten best that stay among the ten best, and how often the best stays the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed, GateResult, Number
from export.reference import Scores
from export.spec import Array
from measures.agreement import kendall_tau, top_k_overlap
from measures.order import rank_order
from protos.manifest import Agreement

NAME = "agreement"
REQUESTS_MIN = 1000
TOP = 10


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The least a variant may show."""

    tau_mean: float
    top10_overlap_mean: float
    top10_overlap_p5: float
    top1_mean: float


THRESHOLDS = {
    # float32 in another order of additions: only near ties may swap
    "fp32": Thresholds(tau_mean=0.999, top10_overlap_mean=0.999, top10_overlap_p5=1.0, top1_mean=0.99),
    # int8 moves scores by about a hundredth of their spread; beyond these a user would notice
    "int8": Thresholds(tau_mean=0.97, top10_overlap_mean=0.95, top10_overlap_p5=0.8, top1_mean=0.9),
    # 11 bits: a tenth of what int8 moves
    "fp16": Thresholds(tau_mean=0.99, top10_overlap_mean=0.98, top10_overlap_p5=0.9, top1_mean=0.97),
}
THRESHOLDS["int8-weights"] = THRESHOLDS["int8-dynamic"] = THRESHOLDS["int8"]


def check(evidence: Evidence, subject: Subject) -> tuple[GateResult, Agreement]:
    """Compare orders on every request.

    Raises:
        GateFailed: fewer than REQUESTS_MIN requests, or a threshold is missed.
    """
    count = len(evidence.requests)
    if count < REQUESTS_MIN:
        raise GateFailed(
            NAME,
            f"{count} requests are too few to judge by; ExportSpec.requests and .unlabelled together need "
            f"{REQUESTS_MIN:,}",
            {"requests": count},
        )
    found = measure(evidence.scores, subject.scores(evidence))
    limits = THRESHOLDS[subject.variant]
    numbers: dict[str, Number] = {"requests": count}
    for name in Thresholds.__slots__:
        numbers[name], numbers[f"{name}_least"] = getattr(found, name), getattr(limits, name)
    missed = shortfalls(found, limits)
    if missed:
        raise GateFailed(NAME, f"{subject.variant} ranks unlike PyTorch: {'; '.join(missed)}", numbers)
    sentence = (
        f"Kendall tau {found.tau_mean:.4f}, top-10 overlap {found.top10_overlap_mean:.4f} "
        f"(5 % of requests at or below {found.top10_overlap_p5:.2f}), same top-1 in {found.top1_mean:.1%} "
        f"of {count:,} requests"
    )
    return GateResult(gate=NAME, variant=subject.variant, sentence=sentence, numbers=numbers), found


def shortfalls(found: Agreement, limits: Thresholds) -> list[str]:
    """The thresholds that are missed, one phrase each."""
    return [
        f"{name} {getattr(found, name):.4f} < {getattr(limits, name):g}"
        for name in Thresholds.__slots__
        if not getattr(found, name) >= getattr(limits, name)
    ]


@dataclass(frozen=True, slots=True)
class PerRequest:
    """Agreement of every request, float64 [requests]; NaN where the reference has no order to agree with.

    Attributes:
        tau: Kendall's tau-b over all candidates; 0 where the variant's scores have become all tied.
        overlap: share of the ten best that stay among the ten best.
        top: 1 where the best stays the best.
    """

    tau: Array
    overlap: Array
    top: Array


def measure(exact: Sequence[Scores], got: Sequence[Scores]) -> Agreement:
    """Agreement of two lists of score arrays, as means over the requests that have an order."""
    found = per_request(exact, got)
    judged = ~np.isnan(found.tau)
    some = bool(judged.any())
    return Agreement(
        requests=len(exact),
        tau_mean=float(found.tau[judged].mean()) if some else float("nan"),
        top10_overlap_mean=float(found.overlap[judged].mean()) if some else float("nan"),
        top10_overlap_p5=float(np.quantile(found.overlap[judged], 0.05)) if some else float("nan"),
        top1_mean=float(found.top[judged].mean()) if some else float("nan"),
    )


def per_request(exact: Sequence[Scores], got: Sequence[Scores]) -> PerRequest:
    """Agreement of two lists of score arrays, request by request."""
    rows = np.full((3, len(exact)), np.nan)
    for at, (wanted, scores) in enumerate(zip(exact, got, strict=True)):
        if len(wanted) < 2 or (wanted == wanted[0]).all():
            continue
        tau = kendall_tau(wanted, scores)
        order_wanted, order_got = rank_order(wanted), rank_order(scores)
        rows[:, at] = (
            0.0 if np.isnan(tau) else tau,
            top_k_overlap(order_wanted, order_got, TOP),
            order_wanted[0] == order_got[0],
        )
    return PerRequest(*rows)
