"""How well the lambdarank ranker ranks, beside its prior; `python -m examples.lambdarank.report` prints it.

50 test queries cannot tell the two apart, so the same comparison is also made by cross-validation over the
201 training queries, on which the training settings (but no weights) were chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from examples.lambdarank.data import Queries, load
from examples.lambdarank.linear_prior import fit
from examples.lambdarank.train import TrainConfig, train_ranker
from examples.lambdarank.trained import Trained, scores, trained
from measures.interval import Interval, bootstrap_mean, paired_delta
from measures.ndcg import ndcg
from measures.order import rank_order

K = 10
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Report:
    """nDCG@10 over queries with a relevant document, with 95 % intervals; `gain` is paired."""

    source: str
    requests: int
    ranker: Interval
    prior: Interval
    gain: Interval

    def lines(self) -> list[str]:
        """For people."""
        rows = [("ranker", self.ranker), ("ridge on 5 features (the prior)", self.prior), ("gain", self.gain)]
        head = f"nDCG@{K}, {self.requests:,} {self.source}"
        return [head, *(f"  {name:<33}{i.mean:7.4f}  [{i.low:.4f}, {i.high:.4f}]" for name, i in rows)]


def report(source: Trained | None = None) -> Report:
    """Measure the trained ranker (None = of the data found) on the test queries.

    Raises:
        FileNotFoundError: the data is not there.
    """
    found = trained() if source is None else source
    test = found.data.test
    return _compare(
        f"test queries of {found.data.source}", _ndcg(test, found.score), _ndcg(test, found.prior.score)
    )


def cross_validated(seed: int = 0) -> Report:
    """Measure rankers and priors trained on four fifths of the training queries on the fifth they did not
    see.

    Raises:
        FileNotFoundError: the data is not there.
    """
    data = load()
    order = np.random.default_rng(seed).permutation(len(data.train))
    ranker, prior = [], []
    for unseen in np.array_split(order, FOLDS):
        seen = data.train.at(np.setdiff1d(order, unseen))
        model = train_ranker(seen, TrainConfig(seed=seed))
        ranker.append(_ndcg(data.train.at(unseen), partial(scores, model)))
        prior.append(_ndcg(data.train.at(unseen), fit(seen).score))
    name = f"training queries of {data.source}, {FOLDS}-fold cross-validation"
    return _compare(name, np.concatenate(ranker), np.concatenate(prior))


def _compare(source: str, ranker: NDArray[np.float64], prior: NDArray[np.float64]) -> Report:
    return Report(
        source, len(ranker), bootstrap_mean(ranker), bootstrap_mean(prior), paired_delta(ranker, prior)
    )


def _ndcg(
    queries: Queries, score: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float64]:
    """nDCG@K of each query that has a relevant document."""
    values = [
        ndcg(labels, rank_order(score(features)), K) for features, labels in queries if labels.max() > 0
    ]
    return np.array(values, np.float64)


if __name__ == "__main__":
    sys.stdout.write("\n".join([*report().lines(), *cross_validated().lines()]) + "\n")
