"""The int8 variant: which products are quantised, found by what it does to the order.

Every product that pays is quantised alone first, to see what it costs the order. Products that cost far more
than their share of the work go back to fp32 at once; if the order still suffers, the costliest follow one by
one until the agreement thresholds hold. A few sensitive products, not int8 as such, are what usually ruins a
ranker: in the movies example one with 3 % of the multiplications made half of the disagreement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx

from export.calibrate import Quantization, calibrate
from export.codec import Encoded
from export.gates.agreement import THRESHOLDS, measure, shortfalls
from export.gates.evidence import Evidence
from export.quantize import to_int8
from export.reference import combine
from export.runtime import Runner
from export.sites import WEIGHTS_MIN, WIDTH_MIN, Site, find_sites
from export.transformer.quantization import prepare
from protos.manifest import Agreement

SEARCH_REQUESTS = 256
SEARCH_MARGIN = 0.2
"""The search sees a sample, so it asks for more than the gate: this part of the way from there to perfect."""
BARGAIN_MAX = 4.0
"""A product may bring this many times its share of the multiplications as its share of the lost Kendall
tau."""
LOSS_NEGLIGIBLE = 2e-3
"""Lost Kendall tau, summed over products, below which no bargain is looked at."""
SEARCH_SITES_MAX = 64
"""Bounds the search: only the first so many products are judged one by one and can be put back."""


@dataclass(frozen=True, slots=True)
class Int8:
    """A quantised graph and how it came about.

    Attributes:
        quantized: names of the quantised products.
        kept_fp32: product -> why it stayed in fp32.
        levelled: products whose input columns are levelled before quantisation.
        outliers: value between the layers of a transformer's FFN -> its neurons that stayed in fp32.
    """

    model: onnx.ModelProto
    quantized: tuple[str, ...]
    kept_fp32: Mapping[str, str]
    levelled: tuple[str, ...]
    outliers: Mapping[str, Sequence[int]] = field(default_factory=dict)


def build_transformer(model: onnx.ModelProto, evidence: Evidence, calibration: Sequence[Encoded]) -> Int8:
    """Quantise a graph that `export.transformer.rewrite` has rewritten; arguments as of `build`.

    Its products are judged one by one only if all together cost the order too much: there are dozens.
    """
    prepared = prepare(model, evidence.codec, calibration)
    made = _build(prepared.model, evidence, prepared.quantizations, quick=True)
    return replace(made, outliers=prepared.outliers)


def build(model: onnx.ModelProto, evidence: Evidence, calibration: Sequence[Encoded]) -> Int8:
    """Quantise the fp32 graph.

    Args:
        model: the fp32 graph.
        evidence: judges the order on up to SEARCH_REQUESTS of its requests.
        calibration: requests that set the ranges.
    """
    chosen = [site for site in find_sites(model) if site.pays]
    return _build(model, evidence, calibrate(model, chosen, evidence.codec, calibration), quick=False)


def _build(
    model: onnx.ModelProto, evidence: Evidence, quantizations: Mapping[str, Quantization], *, quick: bool
) -> Int8:
    sites = find_sites(model)
    chosen = [site for site in sites if site.pays and site.name in quantizations]
    reasons = {site.name: _too_small(site) for site in sites if not site.pays}

    def judge(some: Sequence[Site]) -> Agreement:
        return _agreement(to_int8(model, some, quantizations), evidence)

    kept, put_back = (chosen, {}) if quick and _good(judge(chosen)) else search(chosen, judge)
    reasons |= put_back
    return Int8(
        model=to_int8(model, kept, quantizations),
        quantized=tuple(site.name for site in kept),
        kept_fp32=reasons,
        levelled=tuple(site.name for site in kept if _is_levelled(quantizations[site.name])),
    )


def search(
    sites: Sequence[Site], judge: Callable[[Sequence[Site]], Agreement]
) -> tuple[list[Site], dict[str, str]]:
    """The sites to quantise, and why the others are not.

    Args:
        sites: the candidates.
        judge: agreement with PyTorch when these sites are quantised.

    Returns:
        the sites in graph order, at least one of those given, even if the thresholds are not met then: the
        agreement gate shall refuse with the numbers of the best try; site name -> reason.
    """
    judged = sites[:SEARCH_SITES_MAX]
    loss = {site.name: max(0.0, 1.0 - judge([site]).tau_mean) for site in judged}
    reasons = _bad_bargains(judged, loss)
    kept = [site for site in sites if site.name not in reasons]
    for name in sorted(loss, key=lambda name: -loss[name]):
        if len(kept) < 2 or _good(judge(kept)):
            break
        if name not in reasons:
            reasons[name] = f"alone it lowers Kendall tau by {loss[name]:.4f}, and all together cost too much"
            kept = [site for site in kept if site.name != name]
    return kept, reasons


def _bad_bargains(sites: Sequence[Site], loss: Mapping[str, float]) -> dict[str, str]:
    """Sites that bring much of the disagreement and little of the speed."""
    loss_total = sum(loss.values())
    work_total = sum(site.weight.size for site in sites)
    reasons: dict[str, str] = {}
    for site in sites:
        loss_share = loss[site.name] / loss_total if loss_total > LOSS_NEGLIGIBLE else 0.0
        work_share = site.weight.size / work_total
        if loss_share > BARGAIN_MAX * work_share:
            reasons[site.name] = (
                f"{loss_share:.0%} of the disagreement for {work_share:.0%} of the multiplications"
            )
    return reasons


def _good(found: Agreement) -> bool:
    limits = THRESHOLDS["int8"]
    stricter = replace(
        limits,
        tau_mean=limits.tau_mean + SEARCH_MARGIN * (1 - limits.tau_mean),
        top10_overlap_mean=limits.top10_overlap_mean + SEARCH_MARGIN * (1 - limits.top10_overlap_mean),
    )
    return not shortfalls(found, stricter)


def _agreement(model: onnx.ModelProto, evidence: Evidence) -> Agreement:
    rows = np.linspace(0, len(evidence.requests) - 1, min(SEARCH_REQUESTS, len(evidence.requests))).astype(
        int
    )
    runner = Runner(model)
    got = [combine(evidence.spec, runner.heads(evidence.codec, [evidence.requests[row]])) for row in rows]
    return measure([evidence.scores[row] for row in rows], got)


def _too_small(site: Site) -> str:
    k, n = site.weight.shape
    if min(k, n) < WIDTH_MIN:
        return f"{k}x{n} is narrower than {WIDTH_MIN}"
    return f"{k}x{n} has fewer than {WEIGHTS_MIN} weights"


def _is_levelled(quantization: Quantization) -> bool:
    return quantization.smoothing is not None
