"""quality: a variant finds what people wanted as well as its PyTorch original does.

nDCG@10 over the labelled requests, relative to PyTorch's, with a paired bootstrap 95 % interval over
requests. Pass when the whole interval lies above -t, fail when all of it lies below; between, the requests do
not decide, and the gate says how many would. t is 0.1 % for fp32 and 0.5 % for int8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed, GateResult
from export.spec import Array, ExampleRequest
from measures.interval import paired_relative_delta, requests_needed
from measures.ndcg import ndcg
from measures.order import rank_order
from protos.manifest import Quality

NAME = "quality"
METRIC = "ndcg@10"
TOP = 10
LOSS_MAX = {"fp32": 0.001, "int8": 0.005, "int8-weights": 0.005, "int8-dynamic": 0.005, "fp16": 0.001}


def check(evidence: Evidence, subject: Subject) -> tuple[GateResult, Quality]:
    """Compare nDCG@10 on the labelled requests.

    Raises:
        GateFailed: the loss is certain to be larger than allowed, or no request has a relevant candidate.
    """
    reference = per_request(evidence, evidence.scores)
    values = per_request(evidence, subject.scores(evidence))
    judged = ~np.isnan(reference)
    count = int(judged.sum())
    if count == 0 or not reference[judged].any():
        raise GateFailed(
            NAME, "no labelled request on which PyTorch ranks anything relevant", {"requests": count}
        )
    threshold = -LOSS_MAX[subject.variant]
    delta = paired_relative_delta(values[judged], reference[judged])
    verdict: Literal["pass", "fail", "inconclusive"] = "inconclusive"
    if delta.low > threshold:
        verdict = "pass"
    elif delta.high < threshold:
        verdict = "fail"
    needed = requests_needed(delta, threshold, count) if verdict == "inconclusive" else None
    found = Quality(
        metric=METRIC,
        value=float(values[judged].mean()),
        reference=float(reference[judged].mean()),
        delta_rel=delta.mean,
        ci95=(delta.low, delta.high),
        verdict=verdict,
        requests=count,
        requests_needed=needed,
    )
    return _judge(found, subject.variant, threshold), found


def require_labels(requests: Sequence[ExampleRequest]) -> None:
    """Find out before minutes of work that there is nothing to judge quality by.

    Raises:
        ValueError: no request has labels.
    """
    if all(request.labels is None for request in requests):
        raise ValueError(
            f"ExportSpec.requests: none of the {len(requests):,} requests has labels; {METRIC} is judged by "
            "them: set ExampleRequest.labels, graded relevance [N], in those that you know; requests without "
            "labels belong in ExportSpec.unlabelled"
        )


def prior_quality(evidence: Evidence) -> float:
    """nDCG@10 of the order that the requests came with; NaN when no request is labelled usefully."""
    orders = [
        rank_order(np.zeros(request.count, np.float32), request.prior_scores) for request in evidence.raw
    ]
    values = _ndcgs(evidence, orders)
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def per_request(evidence: Evidence, scores: Sequence[Array]) -> Array:
    """nDCG@10 of every request, float64; NaN where a request is unlabelled or has nothing relevant."""
    orders = [
        rank_order(row, request.prior_scores) for row, request in zip(scores, evidence.raw, strict=True)
    ]
    return _ndcgs(evidence, orders)


def _ndcgs(evidence: Evidence, orders: Sequence[Array]) -> Array:
    return np.array(
        [
            ndcg(request.labels, order, TOP) if request.labels is not None else np.nan
            for request, order in zip(evidence.raw, orders, strict=True)
        ]
    )


def _judge(found: Quality, variant: str, threshold: float) -> GateResult:
    low, high = found.ci95
    span = f"{found.delta_rel:+.3%} [{low:+.3%}, {high:+.3%}]"
    numbers = {
        "value": found.value,
        "reference": found.reference,
        "delta_rel": found.delta_rel,
        "ci95_low": low,
        "ci95_high": high,
        "delta_rel_least": threshold,
        "requests": found.requests,
        "requests_needed": found.requests_needed,
    }
    text = f"{METRIC} {found.value:.4f} against PyTorch's {found.reference:.4f}: {span}"
    if found.verdict == "fail":
        raise GateFailed(NAME, f"{variant} loses too much: {text}, allowed {threshold:.1%}", numbers)
    if found.verdict == "inconclusive":
        wanted = (
            "no number of requests" if found.requests_needed is None else f"about {found.requests_needed:,}"
        )
        text += f"; {found.requests:,} requests do not decide {threshold:.1%}, {wanted} would"
        return GateResult(gate=NAME, variant=variant, verdict="inconclusive", sentence=text, numbers=numbers)
    return GateResult(gate=NAME, variant=variant, sentence=text, numbers=numbers)
