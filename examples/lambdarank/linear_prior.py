"""The first stage: a ridge regression on five features, whose score callers send as the prior.

Rule: features and weights are chosen on training queries only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.lambdarank.data import Queries

FEATURES_USED = 5


@dataclass(frozen=True, slots=True)
class LinearPrior:
    """score = features[:, columns] @ weights.

    Attributes:
        columns: int64 [5].
        weights: float32 [5].
    """

    columns: NDArray[np.int64]
    weights: NDArray[np.float32]

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Prior scores [N] of documents [N, 300]."""
        return (features[:, self.columns] @ self.weights).astype(np.float32)


def fit(train: Queries, penalty: float = 10.0) -> LinearPrior:
    """Choose the features that best follow the label within queries, and weigh them.

    Features and labels are centred within each query: only differences between candidates of one query
    matter.

    Args:
        train: training queries.
        penalty: ridge (L2) penalty on the weights of centred features; by 5-fold cross-validation of nDCG@10.
    """
    x, y = _centred(train)
    spread = np.sqrt(np.sum(x * x, axis=0) * np.sum(y * y))
    correlation = np.divide(x.T @ y, spread, out=np.zeros(x.shape[1]), where=spread > 0)
    columns = np.sort(np.argsort(-np.abs(correlation), kind="stable")[:FEATURES_USED])
    chosen = x[:, columns]
    weights = np.linalg.solve(chosen.T @ chosen + penalty * np.eye(FEATURES_USED), chosen.T @ y)
    return LinearPrior(columns.astype(np.int64), weights.astype(np.float32))


def _centred(queries: Queries) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x = [features - features.mean(axis=0) for features, _ in queries]
    y = [labels - labels.mean() for _, labels in queries]
    return np.concatenate(x).astype(np.float64), np.concatenate(y).astype(np.float64)
