"""The same request alone and under load must get the same order, whatever batch it lands in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loadtest.fold.totals import STEP_FULL
from loadtest.records import TOP
from loadtest.result import Determinism
from loadtest.truth import Truth
from podium.v1 import ranking_pb2 as pb


def compare(samples: Sequence[tuple[int, bytes]], truth: Truth) -> Determinism:
    """Compare sampled replies with the idle server's.

    Only full answers count, since a degraded one differs by design. Two orders differ when their first ranks
    do, or when the one under load puts a candidate before another that the idle server scored higher.

    Args:
        samples: (message, serialised RankResponse).
    """
    unit = _deviation(truth)
    compared = flipped = 0
    delta_max = 0.0
    for message, reply in samples:
        if not truth.asked[message]:
            continue
        alone = truth.alone_scores[truth.offsets[message] : truth.offsets[message + 1]]
        response = pb.RankResponse.FromString(reply)
        scores = np.frombuffer(response.scores, "<f4") if len(response.scores) == 4 * len(alone) else None
        if scores is None or response.step != STEP_FULL or response.coverage.scored != len(alone):
            continue
        compared += 1
        flipped += _differs(np.array(response.order, np.int64), truth.alone_top[message], alone)
        delta_max = max(delta_max, float(np.abs(scores.astype(np.float64) - alone).max(initial=0.0)) / unit)
    return Determinism(compared=compared, flipped=flipped, score_delta_max=delta_max)


def _differs(order: NDArray[np.int64], alone_top: NDArray[np.int16], alone: NDArray[np.float32]) -> bool:
    first = order[:TOP]
    if not np.array_equal(first, alone_top[: len(first)]):
        return True
    return bool((np.diff(alone[order]) > 0).any())


def _deviation(truth: Truth) -> float:
    """Standard deviation of the idle server's scores around their message's mean; 1 when they do not vary."""
    candidates = truth.candidates
    scores = np.where(np.isnan(truth.alone_scores), 0.0, truth.alone_scores).astype(np.float64)
    known = np.repeat(truth.asked, candidates)
    message = np.repeat(np.arange(len(candidates)), candidates)
    means = np.bincount(message, scores, len(candidates)) / np.maximum(candidates, 1)
    around = (scores - means[message])[known]
    deviation = float(np.sqrt(np.mean(np.square(around)))) if len(around) else 0.0
    return deviation or 1.0
