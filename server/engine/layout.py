"""How a bundle's requests become a graph's feeds: which input plays which role, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from protos.manifest import Input, Manifest
from server.domain import Array


class UnsupportedBundle(Exception):
    """The bundle is sound, but asks for something that this server does not do. One sentence."""


KNOWN_FEATURES = frozenset({"vocab"})
"""Entries of `format.requires` that this server understands."""

_ROLES = frozenset(
    {"context", "context_length", "candidate", "candidate_id", "prior_score", "row_to_context"}
)


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
    """

    keys: Array
    rows: Array
    unknown_row: int
    refuse_unknown: bool

    @classmethod
    def of(cls, table: Array, *, unknown_row: int, refuse_unknown: bool) -> Vocabulary:
        """Build from the bundle's file: entry i is the id of row i, except at `unknown_row`."""
        rows = np.delete(np.arange(len(table), dtype=np.int64), unknown_row)
        keys = table[rows]
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], rows[order], unknown_row, refuse_unknown)

    def lookup(self, ids: Array) -> tuple[Array, Any]:
        """Map ids to rows.

        Returns:
            rows, int64 in the shape of `ids`; bool mask of unknown ids, or None when all are known.
        """
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
