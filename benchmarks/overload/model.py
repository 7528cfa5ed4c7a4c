"""`benchmarks.overload.model:spec`: movies with ids only; the model of the overload proof.

The data is real where it is there (MovieTweetings, else the simulated world): histories, the movie rated
next, other movies drawn by popularity. The weights are random, fixed by a seed: how well it ranks is no part
of the proof, and how long it runs does not depend on their values. A request is a history of ids and
candidate ids, so that nothing but computing costs much; the MLP over each pair of user and movie is wide
enough that a request of the mean size is 4 to 8 ms of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.overload.sizes import BUDGET_MS, CANDIDATES, EACH, EMBEDDING, HIDDEN, HISTORY
from examples.movies.data import load
from examples.ratings import UNKNOWN_ROW, Dataset
from export.spec import ExampleRequest, ExportSpec, VocabSpec, candidate_id, context

SEED = 0
UNLABELLED, UNLABELLED_CANDIDATES = 900, 20
"""More requests for the agreement gate; short, since it scores each of them in PyTorch."""
CALIBRATION = 40


class WideMlp(nn.Module):
    """Context: mean of the history's embeddings [R, 64]. Score: MLP over user, movie and their product."""

    def __init__(self, movies: int) -> None:
        super().__init__()
        self.movies = nn.Embedding(movies, EMBEDDING)
        widths = (3 * EMBEDDING, *HIDDEN)
        self.hidden = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        self.out = nn.Linear(HIDDEN[-1], 1)
        for layer in self.hidden:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def context(self, history: Tensor, history_length: Tensor) -> Mapping[str, Tensor]:
        rows = self.movies(history)
        valid = torch.arange(history.shape[1])[None, :] < history_length[:, None]
        total = (rows * valid[:, :, None]).sum(1)
        return {"user": total / history_length.clamp(min=1)[:, None].sqrt()}

    def score(self, state: Mapping[str, Tensor], movie: Tensor) -> Mapping[str, Tensor]:
        user, item = state["user"], self.movies(movie)
        hidden = torch.cat([user, item, user * item], -1)
        for layer in self.hidden:
            hidden = functional.relu(layer(hidden))
        return {"score": self.out(hidden).squeeze(-1)}


def spec() -> ExportSpec:
    """The bundle of the proof."""
    dataset = load()
    torch.manual_seed(SEED)
    model = WideMlp(len(dataset.catalogue)).eval()
    requests = Requests(dataset)
    return ExportSpec(
        name="overload",
        context=model.context,
        score=model.score,
        inputs=[
            context("history", "int64", "L", vocab="movie", length="history_length"),
            candidate_id("movie", vocab="movie"),
        ],
        axes={"L": HISTORY},
        vocabs={"movie": VocabSpec(keys=dataset.catalogue.keys)},
        requests=[requests.draw(count) for count in CANDIDATES * EACH],
        unlabelled=[requests.draw(UNLABELLED_CANDIDATES) for _ in range(UNLABELLED)],
        calibration=[requests.draw(100) for _ in range(CALIBRATION)],
        budget_ms=BUDGET_MS,
        seed=SEED,
        data={"source": dataset.source},
    )


class Requests:
    """Draws requests: each from another moment in somebody's history."""

    def __init__(self, dataset: Dataset) -> None:
        self._keys = dataset.catalogue.keys
        ratings = dataset.ratings
        self._users = ratings.user
        self._items = dataset.catalogue.rows(ratings.item)
        counts = np.bincount(self._items, minlength=len(self._keys)).astype(np.float64)
        counts[UNKNOWN_ROW] = 0.0
        self._popularity = counts / counts.sum()
        self._rng = np.random.default_rng(SEED)
        first = np.searchsorted(self._users, self._users)
        self._moments = self._rng.permutation(np.flatnonzero(np.arange(len(self._users)) - first > 0))
        self._next = 0

    def draw(self, count: int) -> ExampleRequest:
        """A history, and `count` candidates: the movie rated next and others, the popular ones more often."""
        at = int(self._moments[self._next % len(self._moments)])
        self._next += 1
        first = max(int(np.searchsorted(self._users, self._users[at])), at - HISTORY)
        others = self._others(count - 1, int(self._items[at]))
        rows = self._rng.permutation(np.append(others, self._items[at]))
        return ExampleRequest(
            context={"history": self._keys[self._items[first:at]]},
            candidates={"movie": self._keys[rows]},
            prior_scores=self._popularity[rows].astype(np.float32),
            labels=(rows == self._items[at]).astype(np.float32),
        )

    def _others(self, count: int, taken: int) -> NDArray[np.int64]:
        """Rows drawn by popularity without replacement: the smallest of exponential waiting times."""
        with np.errstate(divide="ignore"):
            waiting = self._rng.exponential(size=len(self._popularity)) / self._popularity
        waiting[taken] = np.inf
        return np.argpartition(waiting, count)[:count]
