"""How good a predicted probability is: calibration error, log loss, and the order it gives (AUC)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
_SMALLEST = 1e-12
"""A probability of 0 for what happened costs -log of this, not infinity."""


def calibration_error(probability: NDArray[Any], label: NDArray[Any], bins: int = BINS) -> float:
    """Expected calibration error with bins of equal mass.

    Mean over bins of |mean probability - share of positives|, weighted by the bin's size. Equal mass rather
    than equal width, because clicks are rare and would all share the first bin (Nixon et al., "Measuring
    Calibration in Deep Learning", CVPR workshops 2019).

    Args:
        probability: [n], in [0, 1].
        label: [n], 0 or 1.
        bins: how many, at most n.

    Raises:
        ValueError: there is nothing to compare, or the lengths differ.
    """
    if probability.shape != label.shape or probability.ndim != 1 or not len(label):
        raise ValueError(f"need [n] of both, n >= 1, got {probability.shape} and {label.shape}")
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gap = probability.astype(np.float64) - label
    return sum(len(part) * abs(float(gap[part].mean())) for part in parts) / len(order)


def log_loss(probability: NDArray[Any], label: NDArray[Any]) -> float:
    """Mean of -log of the probability given to what happened; lower is better.

    Args:
        probability: [n], in [0, 1].
        label: [n], 0 or 1.
    """
    p = np.clip(probability.astype(np.float64), _SMALLEST, 1.0 - _SMALLEST)
    return float(-np.mean(np.where(label > 0, np.log(p), np.log1p(-p))))


def auc(score: NDArray[Any], label: NDArray[Any]) -> float:
    """Share of (positive, other) pairs that the score orders right; a tie counts half.

    The Mann-Whitney statistic over its maximum (Hanley and McNeil, Radiology 1982), by mid-ranks.

    Args:
        score: [n].
        label: [n]; positive where > 0.

    Returns:
        NaN when there are no positives, or nothing else.
    """
    positive = label > 0
    positives, others = int(positive.sum()), int((~positive).sum())
    if not positives or not others:
        return float("nan")
    _, group, size = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(size)
    middle = (last - (size - 1) / 2.0)[group]
    return float((middle[positive].sum() - positives * (positives + 1) / 2.0) / (positives * others))
