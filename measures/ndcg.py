"""Normalised discounted cumulative gain.

Gain 2^grade - 1, discount log2(rank + 1), as in Burges et al., "Learning to Rank using Gradient Descent"
(ICML 2005), section 6, after Järvelin and Kekäläinen (TOIS 2002).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_ORDERS_PER_BLOCK: Final = 1 << 16
"""Orders valued at once: bounds memory at about 20 MiB."""


def dcg(labels: NDArray[Any], order: NDArray[Any], k: int = 10) -> float:
    """Discounted cumulative gain of the first `k` of `order`.

    Args:
        labels: graded relevance [N], >= 0.
        order: candidate indices, best first.
        k: ranks counted, >= 1.
    """
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")
    top = labels[order[:k]].astype(np.float64)
    return float(np.sum((np.exp2(top) - 1.0) / np.log2(np.arange(2, len(top) + 2))))


def ndcg(labels: NDArray[Any], order: NDArray[Any], k: int = 10) -> float:
    """DCG of `order` over the best possible DCG, in [0, 1].

    Args:
        labels: graded relevance [N], >= 0, in candidate order.
        order: candidate indices, best first (as from `measures.order.rank_order`).
        k: ranks counted, >= 1.

    Returns:
        NaN when no candidate is relevant: such a request says nothing about an order, and counting it as 0 or
        1 would move the mean by how many of them there are.
    """
    best = dcg(labels, np.argsort(-labels.astype(np.float64), kind="stable"), k)
    return dcg(labels, order, k) / best if best > 0 else float("nan")


@dataclass(frozen=True, eq=False)
class Judged:
    """Many messages' labels, made ready to value many orders at once: `ndcg` without a loop.

    Attributes:
        labels: graded relevance, >= 0, of all candidates of all messages, one message after the other.
        offsets: int64 [messages + 1]: message m's labels are labels[offsets[m]:offsets[m + 1]].
        k: ranks counted, >= 1.
    """

    labels: NDArray[Any]
    offsets: NDArray[np.int64]
    k: int = 10

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be >= 1, got {self.k}")

    def ndcg(self, top: NDArray[Any], messages: NDArray[Any]) -> NDArray[np.float64]:
        """nDCG@k of orders.

        Args:
            top: candidate indices, int [n, ranks], best first, -1 = none. Only the first k are looked
                at; with fewer ranks than k, the missing ones count nothing.
            messages: int [n], whose order it is.

        Returns:
            float64 [n]; NaN where the message has no relevant candidate.
        """
        found = np.empty(len(messages))
        discounts = self._discounts[: top.shape[1]]
        for at in range(0, len(messages), _ORDERS_PER_BLOCK):
            some = messages[at : at + _ORDERS_PER_BLOCK]
            ranks = top[at : at + _ORDERS_PER_BLOCK, : self.k].astype(np.int64)
            # A zero stands behind the last gain: that is where an absent rank points.
            where = np.where(ranks >= 0, ranks + self.offsets[some][:, None], len(self.labels))
            found[at : at + len(some)] = self._gains[where] @ discounts / self._best[some]
        return found

    @functools.cached_property
    def _discounts(self) -> NDArray[np.float64]:
        return 1.0 / np.log2(np.arange(2, self.k + 2))

    @functools.cached_property
    def _gains(self) -> NDArray[np.float64]:
        return np.append(np.exp2(self.labels.astype(np.float64)) - 1.0, 0.0)

    @functools.cached_property
    def _best(self) -> NDArray[np.float64]:
        """DCG of the ideal order per message; NaN where nothing is relevant."""
        counts = np.diff(self.offsets)
        message = np.repeat(np.arange(len(counts)), counts)
        ranked = self._gains[np.lexsort((-self.labels.astype(np.float64), message))]
        rank = np.arange(len(ranked)) - self.offsets[message]
        kept = rank < self.k
        best = np.bincount(message[kept], ranked[kept] * self._discounts[rank[kept]], len(counts))
        return np.where(best > 0, best, np.nan)
