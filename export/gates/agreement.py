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


def measure(exact: Sequence[Scores], got: Sequence[Scores]) -> Agreement:
    """Agreement of two lists of score arrays, request by request.

    A request whose reference scores are all tied has no order to agree with and counts in no mean; one whose
    variant scores have become all tied has lost its order and counts as tau 0.
    """
    taus, overlaps, tops = [], [], []
    for wanted, scores in zip(exact, got, strict=True):
        if len(wanted) < 2 or (wanted == wanted[0]).all():
            continue
        tau = kendall_tau(wanted, scores)
        taus.append(0.0 if np.isnan(tau) else tau)
        order_wanted, order_got = rank_order(wanted), rank_order(scores)
        overlaps.append(top_k_overlap(order_wanted, order_got, TOP))
        tops.append(order_wanted[0] == order_got[0])
    return Agreement(
        requests=len(exact),
        tau_mean=float(np.mean(taus)) if taus else float("nan"),
        top10_overlap_mean=float(np.mean(overlaps)) if taus else float("nan"),
        top10_overlap_p5=float(np.quantile(overlaps, 0.05)) if taus else float("nan"),
        top1_mean=float(np.mean(tops)) if taus else float("nan"),
    )
