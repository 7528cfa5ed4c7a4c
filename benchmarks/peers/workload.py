"""What every peer is asked: one request per size, and the scores that raw ONNX Runtime gives it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench_model import request, spec
from benchmarks.bench_sizes import HISTORY
from benchmarks.raw import session
from export.request_set import message_of
from export.spec import ExampleRequest

SIZES = (20, 100, 500)


@dataclass(frozen=True, slots=True)
class Case:
    """A request.

    Attributes:
        candidates: N.
        feed: the graph's inputs but `row_to_context`, of this one request: history int64 [1, L] padded right,
            history_length int64 [1], item int64 [N] (embedding rows), features float32 [N, F].
        rank: the RankRequest, serialised.
        scores: float32 [N].
    """

    candidates: int
    feed: dict[str, NDArray[np.generic]]
    rank: bytes
    scores: NDArray[np.float32]


def cases(graph: Path) -> list[Case]:
    """One per size, always the same."""
    model, reference, generator = spec(), session(str(graph)), np.random.default_rng(1)
    found = []
    for size in SIZES:
        asked = request(generator, size)
        feed = _feed(asked)
        alone = {**feed, "row_to_context": np.zeros(size, np.int64)}
        found.append(Case(size, feed, message_of(model, asked, "bench"), reference.run(["score"], alone)[0]))
    return found


def _feed(asked: ExampleRequest) -> dict[str, NDArray[np.generic]]:
    """Ids are embedding rows already: the benchmark's vocabulary holds 0, 1, 2 and so on."""
    visited = np.asarray(asked.context["history"], np.int64)
    history = np.zeros((1, HISTORY), np.int64)
    history[0, : len(visited)] = visited
    return {
        "history": history,
        "history_length": np.array([len(visited)]),
        "item": np.asarray(asked.candidates["item"], np.int64),
        "features": np.asarray(asked.candidates["features"], np.float32),
    }
