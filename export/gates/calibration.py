"""calibration: a calibrated head's probabilities are nearer to what happened than they were. Never refuses.

Judged on the evaluation requests, which the calibration has not seen. A calibration that makes it worse is
shown as a warning: its data is unlike the evaluation's, or there was nothing to mend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from export.gates.verdict import GateResult
from export.head_calibration import Fitted

NAME = "calibration"


def check(fitted: Mapping[str, Fitted]) -> list[GateResult]:
    """One result per calibrated head."""
    return [_check(head, one) for head, one in fitted.items()]


def _check(head: str, fitted: Fitted) -> GateResult:
    entry = fitted.entry
    better = entry.error_after <= entry.error_before
    sentence = (
        f"{head}: calibration error {entry.error_before:.4f} before, {entry.error_after:.4f} after "
        f"(slope {entry.slope:.3f}, intercept {entry.intercept:+.3f}, from {entry.candidates:,} labels)"
    )
    if not better:
        sentence += "; it grew: are the calibration requests like those to be served?"
    numbers = {
        "error_before": entry.error_before,
        "error_after": entry.error_after,
        "log_loss_before": fitted.log_loss_before,
        "log_loss_after": fitted.log_loss_after,
        "slope": entry.slope,
        "intercept": entry.intercept,
        "requests": entry.requests,
        "candidates": entry.candidates,
    }
    verdict: Literal["pass", "warning"] = "pass" if better else "warning"
    return GateResult(gate=NAME, variant="fp32", verdict=verdict, sentence=sentence, numbers=numbers)
