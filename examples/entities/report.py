"""How well the entity ranker ranks, beside BM25; `python -m examples.entities.report` prints it.

Each query is ranked by the model of the fold that did not see it, so all queries count.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.entities.data import FOLDS
from examples.entities.train import Example, TrainConfig
from examples.entities.trained import trained
from measures.interval import Interval, bootstrap_mean, paired_delta
from measures.ndcg import ndcg
from measures.order import rank_order

K = 10


@dataclass(frozen=True, slots=True)
class Report:
    """nDCG@10 over queries with a relevant candidate, with 95 % intervals; `gain` is paired."""

    source: str
    queries: int
    folds: tuple[float, ...]
    ranker: Interval
    prior: Interval
    gain: Interval

    def lines(self) -> list[str]:
        """For people."""
        rows = [("ranker", self.ranker), ("BM25 on the title (the prior)", self.prior), ("gain", self.gain)]
        head = f"nDCG@{K}, {self.queries:,} queries of {self.source}, {len(self.folds)} folds"
        per_fold = " ".join(f"{value:.4f}" for value in self.folds)
        table = [f"  {name:<33}{i.mean:7.4f}  [{i.low:.4f}, {i.high:.4f}]" for name, i in rows]
        return [head, *table, f"  ranker by fold: {per_fold}"]


def report(config: TrainConfig | None = None) -> Report:
    """Train a ranker per fold and rank the queries that it has not seen."""
    ranker, prior = [], []
    source = ""
    for fold in range(FOLDS):
        found = trained(fold, config)
        source = found.source
        seen = [one for one in found.test if one.grades.max() > 0]
        ranker.append(np.array([_ndcg(one, found.score(one)) for one in seen]))
        prior.append(np.array([_ndcg(one, one.prior) for one in seen]))
    all_ranker, all_prior = np.concatenate(ranker), np.concatenate(prior)
    return Report(
        source,
        len(all_ranker),
        tuple(float(part.mean()) for part in ranker),
        bootstrap_mean(all_ranker),
        bootstrap_mean(all_prior),
        paired_delta(all_ranker, all_prior),
    )


def _ndcg(example: Example, scores: NDArray[np.float32]) -> float:
    return ndcg(example.grades, rank_order(scores), K)


if __name__ == "__main__":
    sys.stdout.write("\n".join(report().lines()) + "\n")
