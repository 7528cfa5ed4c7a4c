"""The int8 variant: which products are quantised, and how well the result orders.

All products that pay are quantised together. Bad bargains go back to fp32; and if a gate would refuse the
rest, the sensitivity search finds the fewest products that must follow: first on a sample of the requests,
then, should the gates still refuse, by the gates themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx

from export.bargains import PRODUCTS_MAX, bad_bargains
from export.calibrate import Quantization, calibrate
from export.codec import Encoded
from export.gates import agreement, heads, quality
from export.gates.agreement import THRESHOLDS, measure, shortfalls
from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed
from export.quantize import to_int8
from export.reference import combine
from export.runtime import Runner
from export.sensitivity import Judgement, Search, find_sensitive
from export.sites import WEIGHTS_MIN, WIDTH_MIN, Site, find_sites
from export.transformer.quantization import prepare

SEARCH_SECONDS = 120.0
SEARCH_REQUESTS = 256
SEARCH_MARGIN = 0.2
"""The search sees a sample, so it asks for more than the gate: this part of the way from there to perfect."""


@dataclass(frozen=True, slots=True)
class Int8:
    """A quantised graph and how it came about.

    Attributes:
        subject: the graph, with the scores that the gates will ask for where the search has them.
        quantized: names of the quantised products.
        kept_fp32: product -> why it stayed in fp32.
        levelled: products whose input columns are levelled before quantisation.
        search: the sensitivity search; `search.excluded` is part of `kept_fp32`.
        outliers: value between the layers of a transformer's FFN -> its neurons that stayed in fp32.
    """

    subject: Subject
    quantized: tuple[str, ...]
    kept_fp32: Mapping[str, str]
    levelled: tuple[str, ...]
    search: Search = field(default_factory=Search)
    outliers: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def model(self) -> onnx.ModelProto:
        """The graph."""
        return self.subject.model


def build_transformer(
    model: onnx.ModelProto,
    evidence: Evidence,
    calibration: Sequence[Encoded],
    search_seconds: float = SEARCH_SECONDS,
) -> Int8:
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
) -> Int8:
    """Quantise the fp32 graph.

    Args:
        model: the fp32 graph.
        evidence: judges the order on up to SEARCH_REQUESTS of its requests.
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
) -> Int8:
    sites = find_sites(model)
    chosen = {site.name: site for site in sites if site.pays and site.name in quantizations}
    reasons = {site.name: _too_small(site) for site in sites if not site.pays}

    def quantised(names: Sequence[str]) -> onnx.ModelProto:
        return to_int8(model, [chosen[name] for name in names], quantizations)

    def judge(names: Sequence[str]) -> Judgement:
        return _judge_sample(quantised(names), evidence)

    if bargains:
        reasons |= bad_bargains([*chosen.values()], {name: judge([name]).harm for name in chosen})
    kept, subject, search = _search(
        [name for name in chosen if name not in reasons], quantised, judge, evidence, search_seconds
    )
    return Int8(
        subject=subject,
        quantized=tuple(kept),
        kept_fp32=reasons | dict(search.excluded),
        levelled=tuple(name for name in kept if quantizations[name].smoothing is not None),
        search=search,
    )


def _search(
    names: Sequence[str],
    quantised: Callable[[Sequence[str]], onnx.ModelProto],
    judge: Callable[[Sequence[str]], Judgement],
    evidence: Evidence,
    seconds_max: float,
) -> tuple[list[str], Subject, Search]:
    """The products left, their variant, and the search: by the sample, then by the gates on all requests."""
    last: list[tuple[tuple[str, ...], Subject]] = []

    def judge_all(some: Sequence[str]) -> Judgement:
        last[:] = [(tuple(some), Subject("int8", quantised(some)))]
        return _judge_all(last[0][1], evidence)

    search = find_sensitive(names, judge, seconds_max=seconds_max) if names else Search()
    kept = [name for name in names if name not in search.excluded]
    if kept and search.ended in ("not_needed", "passes"):
        left = max(seconds_max - search.seconds, 0.0)
        search = search.then(find_sensitive(kept, judge_all, seconds_max=left))
        kept = [name for name in kept if name not in search.excluded]
    if last and last[0][0] == tuple(kept):
        return kept, last[0][1], search
    return kept, Subject("int8", quantised(kept)), search


def _judge_sample(model: onnx.ModelProto, evidence: Evidence) -> Judgement:
    """Agreement of every head and of the sum on a sample of the requests, stricter than the gates."""
    count = len(evidence.requests)
    rows = np.linspace(0, count - 1, min(SEARCH_REQUESTS, count)).astype(int)
    runner = Runner(model)
    got = [runner.heads(evidence.codec, [evidence.requests[row]]) for row in rows]
    found = measure([evidence.scores[row] for row in rows], [combine(evidence.spec, one) for one in got])
    taus = [found.tau_mean]
    if len(evidence.spec.heads) > 1:
        exact = [evidence.heads[row] for row in rows]
        taus += [
            measure([one[head] for one in exact], [one[head] for one in got]).tau_mean
            for head in evidence.spec.heads
        ]
    limits = THRESHOLDS["int8"]
    stricter = replace(
        limits,
        tau_mean=limits.tau_mean + SEARCH_MARGIN * (1 - limits.tau_mean),
        top10_overlap_mean=limits.top10_overlap_mean + SEARCH_MARGIN * (1 - limits.top10_overlap_mean),
    )
    # NaN: a head without any order, see the gate `heads`
    passes = not shortfalls(found, stricter) and not any(tau < stricter.tau_mean for tau in taus)
    return Judgement(passes, max(0.0, 1.0 - float(np.nanmin(taus))))


def _judge_all(subject: Subject, evidence: Evidence) -> Judgement:
    """The gates that compare orders, on all requests."""
    harm = max(0.0, 1.0 - measure(evidence.scores, subject.scores(evidence)).tau_mean)
    try:
        agreement.check(evidence, subject)
        heads.check(evidence, subject)
        quality.check(evidence, subject)
    except GateFailed:
        return Judgement(passes=False, harm=harm)
    return Judgement(passes=True, harm=harm)


def _too_small(site: Site) -> str:
    k, n = site.weight.shape
    if min(k, n) < WIDTH_MIN:
        return f"{k}x{n} is narrower than {WIDTH_MIN}"
    return f"{k}x{n} has fewer than {WEIGHTS_MIN} weights"
