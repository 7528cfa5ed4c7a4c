"""Platt scaling: the slope and intercept that turn a head's logit into a probability one can believe.

p = sigmoid(slope * z + intercept) by maximum likelihood with Platt's smoothed targets ("Probabilistic Outputs
for Support Vector Machines", 1999), by Newton's method with backtracking (Lin, Lin and Weng, "A Note on
Platt's Probabilistic Outputs", Machine Learning 2007). Two numbers, rising: a head's order stays what it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.spec import Array

Floats = NDArray[np.float64]

_STEPS_MAX = 100
_GRADIENT_MAX = 1e-7
_RIDGE = 1e-12


@dataclass(frozen=True, slots=True)
class Curve:
    """p = sigmoid(slope * z + intercept); as it stands it changes nothing."""

    slope: float = 1.0
    intercept: float = 0.0

    def probability(self, logit: Array) -> Floats:
        """Apply it, float64 [n]."""
        return _sigmoid(self.slope * logit.astype(np.float64) + self.intercept)


def fit(logit: Array, label: Array) -> Curve:
    """Fit a curve.

    Args:
        logit: float [n].
        label: [n], 0 or 1.

    Raises:
        ValueError: the labels are all alike, or a larger logit means a smaller chance. No subject: the caller
            knows the head.
    """
    positives = int((label > 0).sum())
    others = len(label) - positives
    if not positives or not others:
        raise ValueError(f"its labels are {'all' if positives else 'never'} positive")
    target = np.where(label > 0, (positives + 1.0) / (positives + 2.0), 1.0 / (others + 2.0))
    z = logit.astype(np.float64)
    centre, spread = float(z.mean()), float(z.std()) or 1.0
    slope, shift = _newton((z - centre) / spread, target)
    if slope <= 0.0:
        raise ValueError("its labels fall as its logit rises")
    return Curve(slope / spread, shift - slope * centre / spread)


def _newton(x: Floats, target: Floats) -> tuple[float, float]:
    at = np.array([1.0, 0.0])
    loss = _loss(at, x, target)
    for _ in range(_STEPS_MAX):
        p = _sigmoid(at[0] * x + at[1])
        rest, weight = p - target, p * (1.0 - p)
        gradient = np.array([rest @ x, rest.sum()]) / len(x)
        if np.abs(gradient).max() < _GRADIENT_MAX:
            break
        cross = weight @ x
        hessian = np.array([[weight @ (x * x), cross], [cross, weight.sum()]]) / len(x) + _RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        length = 1.0
        while length > 1e-10:
            tried = at - length * step
            tried_loss = _loss(tried, x, target)
            if tried_loss < loss - 1e-4 * length * float(gradient @ step):
                break
            length /= 2.0
        else:
            break  # no step helps any more
        at, loss = tried, tried_loss
    return float(at[0]), float(at[1])


def _loss(at: Floats, x: Floats, target: Floats) -> float:
    s = at[0] * x + at[1]
    return float(np.mean(np.logaddexp(0.0, s) - target * s))


def _sigmoid(s: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -s)), np.float64)
