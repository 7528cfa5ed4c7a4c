"""How well the movies ranker ranks, beside what it must beat; `python -m examples.movies.report` prints it.

The ranker is shown other users' histories to see whether it reads them: first with the true co-occurrence
prior left in place (so only the context changes), then with no prior at all.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from examples.movies.baselines import popularity
from examples.movies.histories import padded
from examples.movies.model import HEAD
from examples.movies.trained import Trained, trained
from measures.interval import Interval, bootstrap_mean, paired_delta
from measures.ndcg import ndcg
from measures.order import rank_order

K = 10
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Report:
    """nDCG@10 over the test requests.

    Attributes:
        ranker, co_occurrence (the prior that callers send), popularity: with 95 % intervals.
        shuffled: the ranker's nDCG@10 minus its own with histories shuffled among users, prior left in place.
        ranker_no_prior: the ranker when no prior is sent.
        shuffled_no_prior: as `shuffled`, no prior sent.
    """

    source: str
    requests: int
    ranker: Interval
    co_occurrence: Interval
    popularity: Interval
    shuffled: Interval
    ranker_no_prior: Interval
    shuffled_no_prior: Interval

    def lines(self) -> list[str]:
        """For people."""
        rows = [
            ("ranker", self.ranker),
            ("co-occurrence (the prior)", self.co_occurrence),
            ("popularity", self.popularity),
            ("ranker, no prior sent", self.ranker_no_prior),
            ("lost when histories are shuffled", self.shuffled),
            ("the same, no prior sent", self.shuffled_no_prior),
        ]
        head = f"nDCG@{K}, {self.requests:,} requests of {self.source}"
        return [head, *(f"  {name:<33}{i.mean:7.4f}  [{i.low:.4f}, {i.high:.4f}]" for name, i in rows)]


def report(source: Trained | None = None) -> Report:
    """Measure the trained ranker (None = of the data found) on its protocol's test."""
    found = trained() if source is None else source
    test, material = found.protocol.test, found.material
    history, length = padded(material.train, test.first, test.end)
    prior = material.prior.score(history, length, test.candidates)
    other = np.random.default_rng(found.config.seed).permutation(len(test))
    absent = np.zeros_like(prior)
    own = _ndcg(found, _scores(found, history, length, prior))
    foreign = _ndcg(found, _scores(found, history[other], length[other], prior))
    own_absent = _ndcg(found, _scores(found, history, length, absent))
    foreign_absent = _ndcg(found, _scores(found, history[other], length[other], absent))
    return Report(
        source=found.dataset.source,
        requests=len(test),
        ranker=bootstrap_mean(own),
        co_occurrence=bootstrap_mean(_ndcg(found, prior)),
        popularity=bootstrap_mean(_ndcg(found, popularity(material.counts, test.candidates))),
        shuffled=paired_delta(own, foreign),
        ranker_no_prior=bootstrap_mean(own_absent),
        shuffled_no_prior=paired_delta(own_absent, foreign_absent),
    )


def _scores(
    found: Trained, history: NDArray[np.int64], length: NDArray[np.int64], prior: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The ranker's scores [T, C] of every test request."""
    candidates = found.protocol.test.candidates
    out = np.empty(candidates.shape, np.float32)
    for at in range(0, len(candidates), _BLOCK):
        part = slice(at, at + _BLOCK)
        features = found.material.features.of(candidates[part])
        with torch.inference_mode():
            state = found.model.context(torch.from_numpy(history[part]), torch.from_numpy(length[part]))
            scores = found.model.score(
                {name: value.repeat_interleave(candidates.shape[1], dim=0) for name, value in state.items()},
                torch.from_numpy(candidates[part].ravel()),
                torch.from_numpy(features.reshape(-1, features.shape[-1])),
                torch.from_numpy(prior[part].ravel()),
            )
        out[part] = scores[HEAD].view(-1, candidates.shape[1]).numpy()
    return out


def _ndcg(found: Trained, scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """nDCG@K of each test request [T]."""
    test = found.protocol.test
    labels = test.candidates == test.held[:, None]
    return np.array([ndcg(labels[row], rank_order(scores[row]), K) for row in range(len(test))])


if __name__ == "__main__":
    sys.stdout.write("\n".join(report().lines()) + "\n")
