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


KNOWN_FEATURES = frozenset({"length_axis", "vocab"})
"""Entries of `format.requires` that this server understands."""

_ROLES = frozenset(
    {"context", "context_length", "candidate", "candidate_id", "prior_score", "row_to_context"}
)
_GRID_ROLES = frozenset({"grid_index", "grid_position"})

_TABLE_PER_KEY_MAX: Final = 4
_TABLE_MIN: Final = 1 << 14
_TABLE_ID_MAX: Final = 1 << 62
"""A vocabulary's table may have so many ids per key, and so many in any case (128 KiB)."""


@dataclass(frozen=True, slots=True)
class LengthAxis:
    """The axis along which candidates differ in length; positions are those of `Layout.candidates`.

    Attributes:
        longest: most tokens of a candidate.
        source: of the input that tells the lengths (`protos.row_lengths`).
        pad_value: of that input.
        columns: of the inputs that have the axis, behind N.
    """

    name: str
    longest: int
    source: int
    pad_value: float
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The inputs of a bundle by role. Payload tuples follow `context` and `candidates`.

    Attributes:
        context: context inputs; a named axis after the first is ragged, padded on the right to its maximum.
        lengths: context input name -> the input that takes its valid length, int64 [R].
        candidates: candidate, candidate_id and prior_score inputs, in manifest order.
        row_to_context: name of that input; None for a graph that needs no context.
        ragged_max: axis name -> size to pad to.
        length: the length axis of candidates; None: all are alike.
        heads: output name -> head.
        context_names, column_names: the tensors that a request must bring, no more and no less.
        grid: names of the inputs that take a grid's index and its positions; None for a flat graph.
    """

    context: tuple[Input, ...]
    lengths: Mapping[str, str]
    candidates: tuple[Input, ...]
    row_to_context: str | None
    ragged_max: Mapping[str, int]
    length: LengthAxis | None
    heads: Mapping[str, str]
    context_names: frozenset[str]
    column_names: frozenset[str]
    grid: tuple[str, str] | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> Layout:
        """Read the layout of a bundle.

        Raises:
            UnsupportedBundle: it requires an unknown feature, role or layout.
        """
        for feature in manifest.format.requires:
            if feature not in KNOWN_FEATURES:
                raise UnsupportedBundle(f"format.requires names {feature!r}, which this server does not know")
        _check_setwise(manifest)
        is_grid = manifest.scoring.layout == "grid"
        for entry in manifest.inputs:
            if entry.role not in _ROLES and not (is_grid and entry.role in _GRID_ROLES):
                raise UnsupportedBundle(f"input {entry.name!r}: role {entry.role!r} is not supported yet")
            if entry.from_catalog:
                raise UnsupportedBundle(f"input {entry.name!r}: from_catalog is not supported yet")
        candidates = tuple(
            e for e in manifest.inputs if e.role in ("candidate", "candidate_id", "prior_score")
        )
        gather = [entry.name for entry in manifest.inputs if entry.role == "row_to_context"]
        return cls(
            context=tuple(e for e in manifest.inputs if e.role == "context"),
            lengths={e.of: e.name for e in manifest.inputs if e.role == "context_length" and e.of},
            candidates=candidates,
            row_to_context=gather[0] if gather else None,
            ragged_max={name: axis.max for name, axis in manifest.axes.items()},
            length=_length_axis(manifest, candidates),
            heads={output.name: output.head for output in manifest.outputs},
            context_names=frozenset(e.name for e in manifest.inputs if e.role == "context"),
            column_names=frozenset(e.name for e in manifest.inputs if e.role == "candidate"),
            grid=_grid(manifest) if is_grid else None,
        )

    @property
    def fed_names(self) -> frozenset[str]:
        """Every input that the server feeds."""
        own = {entry.name for entry in (*self.context, *self.candidates)} | set(self.lengths.values())
        gather = () if self.row_to_context is None else (self.row_to_context,)
        return frozenset((*own, *gather, *(self.grid or ())))

    def padded_shape(self, entry: Input) -> tuple[int, ...]:
        """Shape of one context row as the graph sees it, without the batch axis."""
        return tuple(self.ragged_max[a] if isinstance(a, str) else a for a in entry.shape[1:])


def _length_axis(manifest: Manifest, candidates: tuple[Input, ...]) -> LengthAxis | None:
    for name, axis in manifest.axes.items():
        if axis.lengths is not None:
            source = [entry.name for entry in candidates].index(axis.lengths)
            columns = tuple(at for at, entry in enumerate(candidates) if name in entry.shape[1:])
            return LengthAxis(name, axis.max, source, candidates[source].pad_value, columns)
    return None


def _grid(manifest: Manifest) -> tuple[str, str]:
    """Names of the two inputs that only a grid has."""
    found = {entry.role: entry.name for entry in manifest.inputs if entry.role in _GRID_ROLES}
    for role in sorted(_GRID_ROLES - found.keys()):
        raise UnsupportedBundle(f"scoring.layout 'grid' needs an input of role {role!r}")
    for name, axis in manifest.axes.items():
        if axis.lengths is not None:
            raise UnsupportedBundle(f"axes.{name}.lengths: a grid's candidates have no lengths yet")
    return found["grid_index"], found["grid_position"]


def _check_setwise(manifest: Manifest) -> None:
    """A setwise score depends on all candidates of its request: refuse what would show the model fewer."""
    scoring = manifest.scoring
    if scoring.kind != "setwise":
        return
    if scoring.layout != "grid":
        raise UnsupportedBundle("scoring.kind 'setwise' needs scoring.layout 'grid'")
    if scoring.chunkable or scoring.cacheable:
        raise UnsupportedBundle("scoring.kind 'setwise' can be neither chunkable nor cacheable")
    for entry in manifest.inputs:
        if entry.non_finite == "invalid_candidate":
            raise UnsupportedBundle(
                f"input {entry.name!r}: non_finite 'invalid_candidate' in a setwise bundle would let one "
                "candidate spoil the others"
            )


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Caller's ids to embedding rows.

    Attributes:
        keys: sorted ids.
        rows: embedding row of each key, int64.
        unknown_row: row of an id that is not among the keys.
        refuse_unknown: an unknown id makes the request invalid.
        table: where the ids are numbers close together: the row of id `table_from + i`, and `unknown_row` at
            both ends and in every gap. None: search among the keys.
    """

    keys: Array
    rows: Array
    unknown_row: int
    refuse_unknown: bool
    table: Array | None = None
    table_from: int = 0

    @classmethod
    def of(cls, table: Array, *, unknown_row: int, refuse_unknown: bool) -> Vocabulary:
        """Build from the bundle's file: entry i is the id of row i, except at `unknown_row`."""
        rows = np.delete(np.arange(len(table), dtype=np.int64), unknown_row)
        keys = table[rows]
        order = np.argsort(keys, kind="stable")
        keys, rows = keys[order], rows[order]
        if keys.dtype.kind != "i" or not _close(keys):
            return cls(keys, rows, unknown_row, refuse_unknown)
        first = int(keys[0]) - 1
        by_id = np.full(int(keys[-1]) - first + 2, unknown_row, np.int64)
        # Backwards: of two equal keys the first counts, as in a search.
        by_id[keys[::-1].astype(np.int64) - first] = rows[::-1]
        return cls(keys, rows, unknown_row, refuse_unknown, by_id, first)

    def lookup(self, ids: Array) -> tuple[Array, NDArray[np.bool_] | None]:
        """Map ids, integers or strings as the keys are, to rows.

        Returns:
            rows, int64 in the shape of `ids`; mask of unknown ids, or None when all are known.
        """
        if self.table is None or not ids.ndim:
            return self._search(ids)
        # Clipped, an id outside finds an end of the table; so it does where the difference overflows.
        at = ids if self.table_from == 0 else np.subtract(ids, self.table_from, dtype=np.int64)
        rows = self.table.take(at, mode="clip")
        # Row 0 is the usual unknown row, and counting what is not 0 needs no comparison before it.
        known = np.count_nonzero(rows if self.unknown_row == 0 else rows != self.unknown_row)
        return rows, None if known == ids.size else rows == self.unknown_row

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


def _close(keys: Array) -> bool:
    """Sorted integer keys have few gaps, and lie where a difference that overflows is not among them."""
    if not len(keys) or keys[0] < -_TABLE_ID_MAX or keys[-1] > _TABLE_ID_MAX:
        return False
    return int(keys[-1]) - int(keys[0]) < max(_TABLE_PER_KEY_MAX * len(keys), _TABLE_MIN)
