"""What the report says of each head: how it orders, how far its probabilities can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np

from export.gates.evidence import Evidence, Subject
from export.head_calibration import Fitted
from export.head_labels import Labelled, labels_of
from export.reference import Heads
from export.spec import Array
from measures.probability import auc, calibration_error

PYTORCH = "pytorch"
"""Among variants' names: the reference."""


class HeadReport(msgspec.Struct, kw_only=True):
    """One head on the evaluation requests.

    Attributes:
        requests: with a known label of this head; `candidates`: labels.
        positives: share of the labels that are 1.
        auc: variant -> AUC; empty without both a positive and another label. `pytorch` is the reference.
        auc_of: "request": the mean of the AUCs within requests, what an order can be right about. "all": over
            all labels together, because no request has both a positive and another label.
        calibration_error: variant -> expected calibration error; empty for a head without a sigmoid.
        calibration_error_before, slope, intercept: of the calibration; None without one.
    """

    head: str
    weight: float
    activation: str
    requests: int
    candidates: int
    positives: float | None
    auc: dict[str, float] = {}
    auc_of: Literal["request", "all"] = "request"
    calibration_error: dict[str, float] = {}
    calibration_error_before: float | None = None
    slope: float | None = None
    intercept: float | None = None


def heads_of(
    evidence: Evidence, subjects: Sequence[Subject], fitted: Mapping[str, Fitted]
) -> list[HeadReport]:
    """A line per head, of a ranker with several heads or an activation; else none: the gates say it all."""
    spec = evidence.spec
    if len(spec.heads) == 1 and not spec.outputs:
        return []
    by_variant: dict[str, Sequence[Heads]] = {PYTORCH: evidence.heads}
    by_variant |= {subject.variant: subject.alone(evidence) for subject in subjects}
    return [_head(evidence, head, by_variant, fitted.get(head)) for head in spec.heads]


def _head(
    evidence: Evidence, head: str, by_variant: Mapping[str, Sequence[Heads]], fitted: Fitted | None
) -> HeadReport:
    spec = evidence.spec
    labelled = labels_of(spec, head, spec.requests, "requests")
    rows = labelled.requests
    output = spec.outputs.get(head)
    sigmoid = output is not None and output.activation == "sigmoid"
    aucs: dict[str, float] = {}
    errors: dict[str, float] = {}
    label: Array = np.zeros(0, np.float32)
    within = True
    for variant, heads in by_variant.items():
        values = [heads[at][head] for at in rows]
        flat, label = labelled.known(values, rows)
        found = _auc_within(labelled, values, rows)
        within = found == found
        found = found if within else auc(flat, label)
        if found == found:
            aucs[variant] = found
        if sigmoid and len(label):
            errors[variant] = calibration_error(flat, label)
    return HeadReport(
        head=head,
        weight=spec.heads[head],
        activation="sigmoid" if sigmoid else "identity",
        requests=len(rows),
        candidates=len(label),
        positives=float((label > 0).mean()) if len(label) else None,
        auc=aucs,
        auc_of="request" if within else "all",
        calibration_error=errors,
        calibration_error_before=fitted.entry.error_before if fitted else None,
        slope=fitted.curve.slope if fitted else None,
        intercept=fitted.curve.intercept if fitted else None,
    )


def _auc_within(labelled: Labelled, values: Sequence[Array], rows: Sequence[int]) -> float:
    """Mean AUC over requests: what an order within a request can be right about. NaN when none has one."""
    found = [auc(*labelled.known([one], [at])) for one, at in zip(values, rows, strict=True)]
    kept = [one for one in found if one == one]
    return float(np.mean(kept)) if kept else float("nan")
