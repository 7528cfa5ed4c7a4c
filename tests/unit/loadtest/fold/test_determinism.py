"""The same request, alone and under load."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from loadtest.fold import determinism
from podium.v1 import ranking_pb2 as pb
from tests.unit.loadtest.fold.known import truth

KNOWN = truth([[1, 0, 0, 0]] * 2, asked=[True, False])
"""Idle scores 4, 3, 2, 1: standard deviation sqrt(1.25)."""


def reply(scores: Sequence[float], order: Sequence[int], step: int = 1, scored: int = 4) -> bytes:
    """Of four candidates."""
    return bytes(
        pb.RankResponse(
            step=step,
            order=order,
            scores=np.array(scores, "<f4").tobytes(),
            coverage=pb.Coverage(candidates=4, scored=scored),
        ).SerializeToString()
    )


def test_the_same_answer_is_the_same() -> None:
    """Equal scores and order: nothing flipped, no difference."""
    found = determinism.compare([(0, reply([4, 3, 2, 1], [0, 1, 2, 3]))] * 3, KNOWN)
    assert (3, 0, 0.0) == (found.compared, found.flipped, found.score_delta_max)


def test_a_flip_and_a_drift_are_seen() -> None:
    """An order that differs is one; the largest score difference counts in standard deviations."""
    samples = [(0, reply([3, 3.5, 2, 1], [1, 0, 2, 3])), (0, reply([4, 3.25, 2, 1], [0, 1, 2, 3]))]
    found = determinism.compare(samples, KNOWN)
    assert (2, 1) == (found.compared, found.flipped)
    assert pytest.approx(1 / np.sqrt(1.25)) == found.score_delta_max


def test_a_flip_below_the_ranks_kept_is_seen() -> None:
    """Twelve candidates: the last two change places, where only the scores show it."""
    known = truth([[1, 0, 0, 0]])
    twelve = type(known)(
        labels=np.ones(12, np.float32),
        offsets=np.array([0, 12]),
        prior_top=known.prior_top,
        alone_top=np.arange(10, dtype=np.int16)[None],
        against_top=known.against_top,
        asked=known.asked,
        alone_scores=np.arange(12, 0, -1).astype(np.float32),
    )
    scores = np.arange(12, 0, -1)
    same = pb.RankResponse(step=1, order=range(12), scores=scores.astype("<f4").tobytes())
    same.coverage.scored = 12
    swapped = pb.RankResponse.FromString(same.SerializeToString())
    swapped.order[10:] = [11, 10]
    samples = [(0, same.SerializeToString()), (0, swapped.SerializeToString())]
    assert 1 == determinism.compare(samples, twelve).flipped


def test_what_cannot_be_compared_is_not() -> None:
    """A degraded answer, one of a lower step, and one whose message the idle server was not asked about."""
    samples = [
        (0, reply([4, 3, 2, float("nan")], [0, 1, 2, 3], scored=3)),
        (0, reply([9, 3, 2, 1], [0, 1, 2, 3], step=3)),
        (1, reply([9, 3, 2, 1], [0, 1, 2, 3])),
    ]
    found = determinism.compare(samples, KNOWN)
    assert (0, 0, 0.0) == (found.compared, found.flipped, found.score_delta_max)


def test_scores_that_do_not_vary_have_no_unit() -> None:
    """Of a server that scores everything alike, a difference counts as it is."""
    known = truth([[1, 0, 0, 0]])
    known.alone_scores[:] = 2.0
    found = determinism.compare([(0, reply([2, 2, 2, 2.5], [0, 1, 2, 3]))], known)
    assert 0.5 == found.score_delta_max
