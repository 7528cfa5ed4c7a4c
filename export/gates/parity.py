"""parity: the fp32 graph gives PyTorch's scores.

Both are float32, so only the order of additions may differ. Thresholds, relative to max(1, |score|): 1e-4 at
worst, 1e-5 for 99 % of the scores (a dropped term or a wrong mask is orders of magnitude above).
"""

from __future__ import annotations

import numpy as np

from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateFailed, GateResult

NAME = "parity"
MAX_ERROR = 1e-4
P99_ERROR = 1e-5


def check(evidence: Evidence, subject: Subject) -> GateResult:
    """Compare every head of every request, each run alone.

    Raises:
        GateFailed: a score is off, or not finite.
    """
    errors = []
    for exact, got in zip(evidence.heads, subject.alone(evidence), strict=True):
        for head, wanted in exact.items():
            if got[head].shape != wanted.shape or not np.isfinite(got[head]).all():
                raise GateFailed(
                    NAME, f"the graph gives scores for head {head!r} that are not [N] finite numbers", {}
                )
            errors.append(np.abs(got[head] - wanted) / np.maximum(1.0, np.abs(wanted)))
    flat = np.concatenate(errors)
    worst, p99 = float(flat.max()), float(np.quantile(flat, 0.99))
    numbers = {
        "scores": len(flat),
        "error_max": worst,
        "error_p99": p99,
        "error_max_allowed": MAX_ERROR,
        "error_p99_allowed": P99_ERROR,
    }
    if worst > MAX_ERROR or p99 > P99_ERROR:
        raise GateFailed(
            NAME,
            f"the graph's scores differ from PyTorch's by up to {worst:.2g} (99 %: {p99:.2g}); "
            f"allowed are {MAX_ERROR:g} and {P99_ERROR:g}",
            numbers,
        )
    sentence = f"{len(flat):,} scores differ from PyTorch's by at most {worst:.1g}"
    return GateResult(gate=NAME, variant=subject.variant, sentence=sentence, numbers=numbers)
