"""The int8 variant: which products are quantised, and how well the result orders.

All products that pay are quantised together. Bad bargains go back to fp32; and if a gate would refuse the
rest, the sensitivity search finds the fewest products that must follow: first on a sample of the requests,
then, should the gates still refuse, by the gates themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx

from export.bargains import PRODUCTS_MAX, bad_bargains
from export.calibrate import Quantization, calibrate
from export.codec import Encoded
from export.gates.evidence import Evidence
from export.quantised import Quantised, too_small
from export.quantize import to_int8
from export.sites import find_sites
from export.transformer.quantization import prepare
from export.variant_search import SEARCH_SECONDS, judge_sample, search_products

NAME = "int8"


def build_transformer(
    model: onnx.ModelProto,
    evidence: Evidence,
    calibration: Sequence[Encoded],
    search_seconds: float = SEARCH_SECONDS,
) -> Quantised:
    """Quantise a graph that `export.transformer.rewrite` has rewritten; arguments as of `build`.

    No bargains are looked at: with dozens of products, each judged alone, that would take minutes.
    """
    prepared = prepare(model, evidence.codec, calibration)
    made = _build(prepared.model, evidence, prepared.quantizations, search_seconds, bargains=False)
    return replace(made, outliers=prepared.outliers)


def build(
    model: onnx.ModelProto,
    evidence: Evidence,
    calibration: Sequence[Encoded],
    search_seconds: float = SEARCH_SECONDS,
) -> Quantised:
    """Quantise the fp32 graph.

    Args:
        model: the fp32 graph.
        evidence: judges the order.
        calibration: requests that set the ranges.
        search_seconds: limit of the sensitivity search, should there be need of one.
    """
    chosen = [site for site in find_sites(model) if site.pays]
    quantizations = calibrate(model, chosen, evidence.codec, calibration)
    return _build(model, evidence, quantizations, search_seconds, bargains=len(chosen) <= PRODUCTS_MAX)


def _build(
    model: onnx.ModelProto,
    evidence: Evidence,
    quantizations: Mapping[str, Quantization],
    search_seconds: float,
    *,
    bargains: bool,
) -> Quantised:
    sites = find_sites(model)
    chosen = {site.name: site for site in sites if site.pays and site.name in quantizations}
    reasons = {site.name: too_small(site) for site in sites if not site.pays}

    def write(names: Sequence[str]) -> onnx.ModelProto:
        return to_int8(model, [chosen[name] for name in names], quantizations)

    if bargains:
        harm = {name: judge_sample(NAME, write([name]), evidence).harm for name in chosen}
        reasons |= bad_bargains([*chosen.values()], harm)
    names = [name for name in chosen if name not in reasons]
    found = search_products(NAME, names, write, evidence, search_seconds)
    return Quantised(
        subject=found.subject,
        quantized=found.quantized,
        kept_fp32=reasons | dict(found.search.excluded),
        levelled=tuple(name for name in found.quantized if quantizations[name].smoothing is not None),
        search=found.search,
    )
