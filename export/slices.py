"""Slices: groups of requests that may fare worse than the mean says.

By number of candidates, by length of each ragged context input (a query's tokens, a history), by whether what
was wanted is a head or a tail item, and by the names that the spec's author gave (`ExampleRequest.slices`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from export.spec import Array, ExampleRequest, ExportSpec, InputSpec

CANDIDATES = "candidates"
WANTED = "wanted item"
NAMED = "named"
NAMED_MAX = 32
HEAD_SHARE = 0.5
"""Head items: the most frequent ones that together make this share of all occurrences in `calibration`."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the requests.

    Attributes:
        dimension: what the requests were told apart by.
        name: which of its values; unique within the dimension.
        rows: int64 [n], indices of requests, ascending, n >= 1.
    """

    dimension: str
    name: str
    rows: Array


def slices_of(spec: ExportSpec, requests: Sequence[ExampleRequest]) -> list[Slice]:
    """Every slice that there is; a dimension in which all requests are alike has none.

    Args:
        requests: those to slice, as in `Evidence.raw`.

    Raises:
        ValueError: more than NAMED_MAX different names.
    """
    found = [*_by_size(CANDIDATES, np.array([request.count for request in requests]))]
    for entry in spec.inputs:
        if entry.role == "context" and len(entry.shape) > 1 and isinstance(entry.shape[1], str):
            lengths = np.array([len(request.context[entry.name]) for request in requests])
            found += _by_size(f"length of {entry.name}", lengths)
    ids = next((entry for entry in spec.inputs if entry.role == "candidate_id"), None)
    if ids is not None:
        found += _by_frequency(spec, ids, requests)
    return found + _named(requests)


def _by_size(dimension: str, sizes: Array) -> Iterator[Slice]:
    """Thirds by size, as far as ties allow; size 0 apart: an empty history is its own kind."""
    groups: list[tuple[str, Array]] = []
    empty = sizes == 0
    if empty.any():
        groups.append(("0", empty))
    some = np.sort(sizes[~empty])
    start = int(some[0]) if len(some) else 0
    for end in np.unique([*np.quantile(some, [1 / 3, 2 / 3, 1.0], method="lower")] if len(some) else []):
        inside = ~empty & (sizes >= start) & (sizes <= end)
        if inside.any():
            name = f"{start:,}" if start == int(end) else f"{start:,} to {int(end):,}"
            groups.append((name, inside))
        start = int(end) + 1
    if len(groups) > 1:
        for name, inside in groups:
            yield Slice(dimension, name, np.flatnonzero(inside))


def _by_frequency(spec: ExportSpec, ids: InputSpec, requests: Sequence[ExampleRequest]) -> Iterator[Slice]:
    """Labelled requests by whether most of what was relevant are head items."""
    same = [entry.name for entry in spec.inputs if entry.role == "context" and entry.vocab == ids.vocab]
    seen = [np.ravel(request.candidates[ids.name]) for request in spec.calibration]
    seen += [np.ravel(request.context[name]) for request in spec.calibration for name in same]
    keys, counts = np.unique(np.concatenate(seen), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    head = keys[order[before < HEAD_SHARE * counts.sum()]]
    groups: dict[str, list[int]] = {"head": [], "tail": []}
    for row, request in enumerate(requests):
        if request.labels is None or not (relevant := np.asarray(request.labels) > 0).any():
            continue
        share = np.isin(np.asarray(request.candidates[ids.name])[relevant], head).mean()
        groups["head" if share >= 0.5 else "tail"].append(row)
    if all(groups.values()):
        for name, rows in groups.items():
            yield Slice(WANTED, name, np.array(rows))


def _named(requests: Sequence[ExampleRequest]) -> list[Slice]:
    groups: dict[str, list[int]] = {}
    for row, request in enumerate(requests):
        for name in dict.fromkeys(request.slices):
            groups.setdefault(name, []).append(row)
    if len(groups) > NAMED_MAX:
        raise ValueError(
            f"ExampleRequest.slices has {len(groups)} different names; {NAMED_MAX} are the most that "
            "can be judged: join some"
        )
    return [Slice(NAMED, name, np.array(rows)) for name, rows in sorted(groups.items())]
