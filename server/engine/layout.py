"""How a bundle's requests become a graph's feeds: which input plays which role, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protos.manifest import Input, Manifest
from server.domain import Array


class UnsupportedBundle(Exception):
    """The bundle is sound, but asks for something that this server does not do. One sentence."""


KNOWN_FEATURES = frozenset({"vocab"})
"""Entries of `format.requires` that this server understands."""

_ROLES = frozenset(
    {"context", "context_length", "candidate", "candidate_id", "prior_score", "row_to_context"}
)

_TABLE_PER_KEY_MAX: Final = 4
_TABLE_MIN: Final = 1 << 14
"""A vocabulary's table may have so many ids per key, and so many in any case (256 KiB)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The inputs of a flat bundle by role. Payload tuples follow `context` and `candidates`.

    Attributes:
        context: context inputs; a named axis after the first is ragged, padded on the right to its maximum.
        lengths: context input name -> the input that takes its valid length, int64 [R].
        candidates: candidate, candidate_id and prior_score inputs, in manifest order.
        row_to_context: name of that input; None for a graph that needs no context.
        ragged_max: axis name -> size to pad to.
        heads: output name -> head.
        context_names, column_names: the tensors that a request must bring, no more and no less.
    """

    context: tuple[Input, ...]
    lengths: Mapping[str, str]
    candidates: tuple[Input, ...]
    row_to_context: str | None
    ragged_max: Mapping[str, int]
    heads: Mapping[str, str]
    context_names: frozenset[str]
    column_names: frozenset[str]

    @classmethod
    def of(cls, manifest: Manifest) -> Layout:
        """Read the layout of a bundle.

        Raises:
            UnsupportedBundle: it requires an unknown feature, role or layout.
        """
        for feature in manifest.format.requires:
            if feature not in KNOWN_FEATURES:
                raise UnsupportedBundle(f"format.requires names {feature!r}, which this server does not know")
        if manifest.scoring.layout != "flat":
            raise UnsupportedBundle(f"scoring.layout {manifest.scoring.layout!r} is not supported yet")
        if manifest.scoring.kind != "pointwise":
            raise UnsupportedBundle(f"scoring.kind {manifest.scoring.kind!r} is not supported yet")
        for entry in manifest.inputs:
            if entry.role not in _ROLES:
                raise UnsupportedBundle(f"input {entry.name!r}: role {entry.role!r} is not supported yet")
            if entry.from_catalog:
                raise UnsupportedBundle(f"input {entry.name!r}: from_catalog is not supported yet")
        gather = [entry.name for entry in manifest.inputs if entry.role == "row_to_context"]
        return cls(
            context=tuple(e for e in manifest.inputs if e.role == "context"),
            lengths={e.of: e.name for e in manifest.inputs if e.role == "context_length" and e.of},
            candidates=tuple(
                e for e in manifest.inputs if e.role in ("candidate", "candidate_id", "prior_score")
            ),
            row_to_context=gather[0] if gather else None,
            ragged_max={name: axis.max for name, axis in manifest.axes.items()},
            heads={output.name: output.head for output in manifest.outputs},
            context_names=frozenset(e.name for e in manifest.inputs if e.role == "context"),
            column_names=frozenset(e.name for e in manifest.inputs if e.role == "candidate"),
        )

    def padded_shape(self, entry: Input) -> tuple[int, ...]:
        """Shape of one context row as the graph sees it, without the batch axis."""
        return tuple(self.ragged_max[a] if isinstance(a, str) else a for a in entry.shape[1:])


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Caller's ids to embedding rows.

    Attributes:
        keys: sorted ids.
        rows: embedding row of each key, int64.
        unknown_row: row of an id that is not among the keys.
        refuse_unknown: an unknown id makes the request invalid.
        table: id -> row, where the ids are small enough numbers to index one; the row of every other index is
            `unknown_row`, and its second half is free of keys, so that a negative id, which counts from
            the end, finds none. None: search among the keys.
    """

    keys: Array
    rows: Array
    unknown_row: int
    refuse_unknown: bool
    table: Array | None = None

    @classmethod
    def of(cls, table: Array, *, unknown_row: int, refuse_unknown: bool) -> Vocabulary:
        """Build from the bundle's file: entry i is the id of row i, except at `unknown_row`."""
        rows = np.delete(np.arange(len(table), dtype=np.int64), unknown_row)
        keys = table[rows]
        order = np.argsort(keys, kind="stable")
        keys, rows = keys[order], rows[order]
        return cls(keys, rows, unknown_row, refuse_unknown, _table(keys, rows, unknown_row))

    def lookup(self, ids: Array) -> tuple[Array, NDArray[np.bool_] | None]:
        """Map ids to rows.

        Returns:
            rows, int64 in the shape of `ids`; mask of unknown ids, or None when all are known.
        """
        if self.table is not None and ids.ndim and ids.dtype.kind in "iu":
            try:
                rows = self.table[ids]
            except IndexError:  # an id beyond the table
                return self._search(ids)
            # Row 0 is the usual unknown row, and counting what is not 0 needs no comparison before it.
            known = np.count_nonzero(rows if self.unknown_row == 0 else rows != self.unknown_row)
            return rows, None if known == ids.size else rows == self.unknown_row
        return self._search(ids)

    def _search(self, ids: Array) -> tuple[Array, NDArray[np.bool_] | None]:
        flat = ids.ravel()  # a scalar id too becomes an array that can be indexed
        at = np.searchsorted(self.keys, flat)
        np.minimum(at, len(self.keys) - 1, out=at)
        known = self.keys[at] == flat
        rows = self.rows[at]
        if known.all():
            return rows.reshape(ids.shape), None
        unknown = ~known
        rows[unknown] = self.unknown_row
        return rows.reshape(ids.shape), unknown.reshape(ids.shape)


def _table(keys: Array, rows: Array, unknown_row: int) -> Array | None:
    """`Vocabulary.table`, if at most a few times as large as the keys themselves."""
    if keys.dtype.kind not in "iu" or not len(keys) or keys[0] < 0:
        return None
    size = int(keys[-1]) + 1
    if size > max(_TABLE_PER_KEY_MAX * len(keys), _TABLE_MIN):
        return None
    table = np.full(2 * size, unknown_row, np.int64)
    table[keys[::-1]] = rows[::-1]  # of two equal keys the first counts, as in a search
    return table
