"""Requests of other sizes: how many candidates a message shall have, and the message with that many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loadtest.scenario.form import Candidates, LogNormal, Quantiles, Values
from podium.v1 import ranking_pb2 as pb


def draw(candidates: Candidates, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Candidate counts: int64 [count], each 1 or more."""
    match candidates:
        case Values(values=values):
            drawn = np.array(values, np.float64)[rng.integers(0, len(values), count)]
        case Quantiles(points=points):
            shares, counts = np.array(points).T
            drawn = np.interp(rng.random(count), shares, counts)
        case LogNormal(median=median, sigma=sigma, least=least, most=most):
            drawn = np.clip(median * np.exp(sigma * rng.standard_normal(count)), least, most)
    return np.maximum(np.rint(drawn).astype(np.int64), 1)


def rows(have: int, want: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which candidates a message of `want` has: int64 [want].

    A part keeps its order and is drawn at random, so that the prior's first are not all that is left; more
    than there are come by repeating them all.
    """
    if want <= have:
        return np.sort(rng.permutation(have)[:want])
    return np.concatenate([np.tile(np.arange(have), want // have), np.arange(want % have)])


def resize(message: pb.RankRequest, chosen: NDArray[np.int64]) -> None:
    """Give the message these of its candidates, in place."""
    candidates = message.candidates
    have = candidates.count
    candidates.count = len(chosen)
    if candidates.int_ids:
        candidates.int_ids = _take(candidates.int_ids, have, chosen)
    if candidates.prior_scores:
        candidates.prior_scores = _take(candidates.prior_scores, have, chosen)
    for column in candidates.columns:
        column.data = _take(column.data, have, chosen)
        column.shape[0] = len(chosen)
    for texts in (candidates.string_ids, candidates.texts):
        if texts:
            kept = [texts[at] for at in chosen]
            del texts[:]
            texts.extend(kept)


def _take(data: bytes, have: int, chosen: NDArray[np.int64]) -> bytes:
    """Rows of a column of `have` rows of equal length."""
    return np.frombuffer(data, np.uint8).reshape(have, -1)[chosen].tobytes()
