"""distance: how far a variant's scores are from fp32's. Never refuses: what counts is the order.

As a share of the spread of a request's scores, because an order only knows differences within a request.
"""

from __future__ import annotations

import numpy as np

from export.gates.evidence import Evidence, Subject
from export.gates.verdict import GateResult

NAME = "distance"


def check(evidence: Evidence, subject: Subject, fp32: Subject) -> GateResult:
    """Compare combined scores on every request."""
    pairs = zip(subject.scores(evidence), fp32.scores(evidence), strict=True)
    off = np.concatenate([np.abs(got - exact) for got, exact in pairs]) / evidence.score_std
    most, usual = float(off.max()), float(np.quantile(off, 0.99))
    return GateResult(
        gate=NAME,
        variant=subject.variant,
        sentence=f"scores differ from fp32's by up to {most:.2g} of their spread (99 %: {usual:.2g})",
        numbers={
            "max_over_std": most,
            "p99_over_std": usual,
            "rms_over_std": float(np.sqrt((off**2).mean())),
        },
    )
