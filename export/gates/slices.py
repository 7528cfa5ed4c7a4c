"""slices: no group of requests pays for the mean.

Per slice (`export.slices`) the loss of nDCG@10 against PyTorch and Kendall's tau, each with a paired
bootstrap interval over the slice's requests. The intervals are 95 % for all slices of a variant together
(Bonferroni: 1 - 0.05 / tests each), so that twenty slices do not raise one false alarm per export. With t the
threshold that the gates `quality` and `agreement` hold the whole to:

- pass: the whole interval is better than t;
- warning: all of it is worse than t; the export goes on, because few requests may be concerned;
- refused: all of it is worse than FAIL_TIMES * t;
- inconclusive: the interval holds t, or the slice has fewer than REQUESTS_MIN requests: too few for a
  percentile interval to mean what it says. The report says how many would decide.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec
import numpy as np

from export.gates import agreement, quality
from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed, GateResult, Number
from export.slices import Slice, slices_of
from export.spec import Array
from measures.interval import Interval, bootstrap_mean, paired_relative_delta, requests_needed

NAME = "slices"
REQUESTS_MIN = 30
FAIL_TIMES = 4.0
RESAMPLES = 2000
FALSE_ALARM = 0.05
Verdict = Literal["pass", "inconclusive", "warning", "fail"]
_BADNESS: tuple[Verdict, ...] = ("pass", "inconclusive", "warning", "fail")


class Measured(msgspec.Struct, kw_only=True, frozen=True):
    """One measure of one slice.

    Attributes:
        value: mean change of nDCG@10 relative to PyTorch's, or mean Kendall tau - 1; 0 is perfect.
        interval: low and high, at the confidence that all slices share.
        least: the threshold t, negative.
        requests_needed: of this kind, to decide; None when it is decided or no number would.
    """

    value: float
    interval: tuple[float, float]
    least: float
    requests: int
    verdict: Verdict
    requests_needed: int | None = None


class SliceReport(msgspec.Struct, kw_only=True, frozen=True):
    """One slice of one variant; `quality` is None where no request of it has a relevant candidate."""

    dimension: str
    name: str
    requests: int
    quality: Measured | None
    agreement: Measured | None
    verdict: Verdict


def check(evidence: Evidence, subject: Subject) -> tuple[GateResult, list[SliceReport]]:
    """Judge every slice.

    Raises:
        GateFailed: some slice is surely worse than FAIL_TIMES the threshold.
        ValueError: the spec names too many slices.
    """
    slices = slices_of(evidence.spec, evidence.raw)
    reports = judge(evidence, subject, slices)
    counts = Counter(one.verdict for one in reports)
    numbers: dict[str, Number] = {"slices": len(reports)}
    numbers |= {verdict: counts[verdict] for verdict in _BADNESS}
    worst: Verdict = max((one.verdict for one in reports), key=_BADNESS.index, default="pass")
    said = "; ".join(_sentence(one) for one in reports if one.verdict == worst)
    if worst == "fail":
        raise GateFailed(
            NAME, f"{subject.variant} loses too much where the mean does not show it: {said}", numbers
        )
    if not reports:
        text = "the requests are all of one kind; ExampleRequest.slices names groups"
    else:
        text = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _BADNESS if counts[verdict])
        text = f"{len(reports)} slices: {text}"
    if worst == "warning":
        text += f"; {said}"
    return (
        GateResult(gate=NAME, variant=subject.variant, verdict=worst, sentence=text, numbers=numbers),
        reports,
    )


def judge(evidence: Evidence, subject: Subject, slices: list[Slice]) -> list[SliceReport]:
    """A report per slice."""
    if not slices:
        return []
    scores = subject.scores(evidence)
    tau = agreement.per_request(evidence.scores, scores).tau
    got, exact = quality.per_request(evidence, scores), quality.per_request(evidence, evidence.scores)
    confidence = 1.0 - FALSE_ALARM / (2 * len(slices))
    loss_least = -quality.LOSS_MAX[subject.variant]
    tau_least = agreement.THRESHOLDS[subject.variant].tau_mean - 1.0
    reports = []
    for one in slices:
        loss = _loss(got[one.rows], exact[one.rows], confidence)
        agreed = _agreed(tau[one.rows], confidence)
        found_loss = None if loss is None else _judged(*loss, loss_least)
        found_tau = None if agreed is None else _judged(*agreed, tau_least)
        verdicts = [found.verdict for found in (found_loss, found_tau) if found is not None]
        reports.append(
            SliceReport(
                dimension=one.dimension,
                name=one.name,
                requests=len(one.rows),
                quality=found_loss,
                agreement=found_tau,
                verdict=max(verdicts, key=_BADNESS.index, default="inconclusive"),
            )
        )
    return reports


def _loss(got: Array, exact: Array, confidence: float) -> tuple[Interval, int] | None:
    judged = ~np.isnan(exact)
    if not judged.any() or not exact[judged].any():
        return None
    got, exact = got[judged], exact[judged]
    if (got == exact).all():  # most slices of fp32: no need to draw
        return Interval(0.0, 0.0, 0.0), len(got)
    return paired_relative_delta(got, exact, confidence, RESAMPLES), len(got)


def _agreed(tau: Array, confidence: float) -> tuple[Interval, int] | None:
    some = tau[~np.isnan(tau)] - 1.0
    if not len(some):
        return None
    return bootstrap_mean(some, confidence, RESAMPLES), len(some)


def _judged(found: Interval, requests: int, least: float) -> Measured:
    verdict: Verdict = "inconclusive"
    needed = None
    if requests < REQUESTS_MIN:
        needed = REQUESTS_MIN
    elif found.low > least:
        verdict = "pass"
    elif found.high < FAIL_TIMES * least:
        verdict = "fail"
    elif found.high < least:
        verdict = "warning"
    else:
        needed = requests_needed(found, least, requests)
    return Measured(
        value=found.mean,
        interval=(found.low, found.high),
        least=least,
        requests=requests,
        verdict=verdict,
        requests_needed=needed,
    )


def _sentence(one: SliceReport) -> str:
    parts = []
    for label, found in (("nDCG@10", one.quality), ("Kendall tau", one.agreement)):
        if found is not None and found.verdict == one.verdict:
            low, high = found.interval
            form = "{:+.2%} [{:+.2%}, {:+.2%}]" if found is one.quality else "{:.4f} [{:.4f}, {:.4f}]"
            shift = 0.0 if found is one.quality else 1.0
            span = form.format(found.value + shift, low + shift, high + shift)
            parts.append(f"{label} {span} over {found.requests:,} requests")
    return f"{one.dimension} {one.name}: {', '.join(parts)}"
