"""The same numbers for parts of the requests: by class of the mix, by how many candidates they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtest.fold import quality, totals
from loadtest.fold.quality import Worth
from loadtest.records import Records
from loadtest.result import Slice


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """What is sliced.

    Attributes:
        candidates: int64 [records], of each one's message, whatever became of it.
        worth: of the same records; None = not known.
        budgets_ms: by class of the mix.
        duration_s: > 0, of all; a slice's rates are over it too, so that they add up.
        share: the slo's percentile, 0.99 = p99.
    """

    records: Records
    candidates: NDArray[np.int64]
    worth: Worth | None
    budgets_ms: Sequence[float]
    duration_s: float
    share: float


def by_class(whole: Whole, names: Sequence[str]) -> list[Slice]:
    """One slice per class of the mix that has requests, in the mix's order."""
    classes = whole.records.rows["class"]
    return _sliced(whole, [(name, np.flatnonzero(classes == at)) for at, name in enumerate(names)])


def by_decile(whole: Whole) -> list[Slice]:
    """Ten slices of about as many requests each, by candidate count; fewer where one count fills several.

    Requests of one count are in one slice: a limit between them would be a limit of chance.
    """
    if len(whole.candidates) == 0:
        return []
    edges = np.unique(np.quantile(whole.candidates, np.arange(1, 11) / 10, method="inverted_cdf"))
    at = np.searchsorted(edges, whole.candidates)
    return _sliced(whole, [("", np.flatnonzero(at == number)) for number in range(len(edges))])


def _sliced(whole: Whole, parts: Sequence[tuple[str, NDArray[np.int64]]]) -> list[Slice]:
    return [_slice(whole, name, part) for name, part in parts if len(part)]


def _slice(whole: Whole, name: str, part: NDArray[np.int64]) -> Slice:
    candidates = whole.candidates[part]
    least, most = int(candidates.min()), int(candidates.max())
    return Slice(
        name=name or (f"{least} candidates" if least == most else f"{least} to {most} candidates"),
        candidates_least=least,
        candidates_most=most,
        numbers=totals.fold(whole.records.where(part), whole.budgets_ms, whole.duration_s, whole.share),
        quality=None if whole.worth is None else quality.fold(whole.worth.where(part), whole.duration_s),
    )
