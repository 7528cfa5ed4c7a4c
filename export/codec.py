"""A caller's request to a graph's feeds: caller's ids become embedding rows, ragged axes are padded.

The rule is the server's own (padding on the right with 0 up to the axis' maximum; an unknown id takes the
vocabulary's unknown row), so that what the gates judge is what will be served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from export.spec import Array, ExampleRequest, ExportSpec, InputSpec, VocabSpec
from protos.grid import lay_out
from protos.row_lengths import row_lengths
from protos.tensor import NUMPY

ROW_TO_CONTEXT = "row_to_context"
"""Name of the graph input that says which context row a candidate belongs to."""
GRID_INDEX, GRID_POSITION = "grid_index", "grid_position"
"""Names of the graph inputs that lay candidates out as a grid; see `protos.grid`."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One request as the graph sees it, without the batch axis.

    Attributes:
        context: input -> array, padded; `length` inputs are int64 scalars.
        candidates: input -> array [N, ...].
    """

    context: Mapping[str, Array]
    candidates: Mapping[str, Array]

    @property
    def count(self) -> int:
        """Number of candidates."""
        return len(next(iter(self.candidates.values())))

    def take(self, rows: Array) -> Encoded:
        """The same request with only these candidates, in this order."""
        return Encoded(self.context, {name: column[rows] for name, column in self.candidates.items()})


class Codec:
    """Encodes the requests of one spec."""

    def __init__(self, spec: ExportSpec) -> None:
        """Index the vocabularies.

        Raises:
            ValueError: the inputs cannot be sent over the wire, or a vocabulary repeats an id.
        """
        _check(spec)
        self._inputs = tuple(spec.inputs)
        self._axes = dict(spec.axes)
        self._candidates_max = spec.candidates_max
        self._is_grid = spec.layout == "grid"
        self.length = next(iter(spec.lengths.items()), None)
        """The length axis, and the input that tells where along it a candidate ends; None without one."""
        self.with_length = tuple(
            e.name for e in spec.inputs if e.role == "candidate" and self.length and self.length[0] in e.shape
        )
        self._vocabs = {name: _Index.of(name, vocab) for name, vocab in spec.vocabs.items()}
        self.context_names = tuple(
            name for e in spec.inputs if e.role == "context" for name in (e.name, e.length) if name
        )
        self.candidate_names = tuple(e.name for e in spec.inputs if e.role != "context")

    @property
    def input_names(self) -> tuple[str, ...]:
        """The graph's inputs, in manifest order; no context means that nothing is gathered."""
        return (*self.context_names, *self.candidate_names, *self.layout_names)

    @property
    def layout_names(self) -> tuple[str, ...]:
        """The inputs that say which candidate belongs where; Podium computes them."""
        gather = (ROW_TO_CONTEXT,) if self.context_names else ()
        return (*gather, GRID_INDEX, GRID_POSITION) if self._is_grid else gather

    def encode(self, request: ExampleRequest) -> Encoded:
        """Encode one request.

        Raises:
            ValueError: an input is missing, has a wrong shape, is not finite, or holds an id that the
                vocabulary refuses.
        """
        context: dict[str, Array] = {}
        candidates: dict[str, Array] = {}
        for entry in self._inputs:
            if entry.role == "context":
                array = self._cast(entry, _get(request.context, entry))
                context[entry.name] = self._pad(entry, array)
                if entry.length is not None:
                    context[entry.length] = np.array(len(array), np.int64)
            elif entry.role == "prior_score":
                candidates[entry.name] = self._prior(entry, request)
            else:
                column = self._cast(entry, _get(request.candidates, entry))
                candidates[entry.name] = column = self._widen(entry, column)
                if column.shape[1:] != self._full(entry):
                    raise ValueError(
                        f"input {entry.name!r}: a request has shape {candidates[entry.name].shape}, "
                        f"the spec says ({', '.join(map(str, entry.shape))}): change one of them"
                    )
        counts = {len(column) for column in candidates.values()}
        if len(counts) > 1 or not 1 <= min(counts) <= self._candidates_max:
            raise ValueError(
                f"a request's candidate columns have lengths {sorted(counts)}; they must agree and lie "
                f"between 1 and candidates_max = {self._candidates_max}"
            )
        return Encoded(context, candidates)

    def feeds(self, requests: Sequence[Encoded]) -> dict[str, Array]:
        """Lay out requests as the feeds of one run: context rows stacked, candidates concatenated.

        A length axis is as long as the longest candidate: what the server does with each of its groups.
        """
        feeds: dict[str, Array] = {
            name: np.stack([request.context[name] for request in requests]) for name in self.context_names
        }
        for name in self.candidate_names:
            feeds[name] = np.concatenate([request.candidates[name] for request in requests])
        counts = [request.count for request in requests]
        if self.length is not None:
            axis, source = self.length
            longest = int(row_lengths(feeds[source], self._axes[axis]).max())
            feeds |= {name: np.ascontiguousarray(feeds[name][:, :longest]) for name in self.with_length}
        if self.context_names:
            feeds[ROW_TO_CONTEXT] = np.repeat(np.arange(len(requests), dtype=np.int64), counts)
        if self._is_grid:
            feeds[GRID_INDEX], feeds[GRID_POSITION] = lay_out(counts)
        return feeds

    def _cast(self, entry: InputSpec, array: Array) -> Array:
        if entry.vocab is not None:
            return self._vocabs[entry.vocab].rows(array)
        with np.errstate(over="ignore"):  # said in words below
            cast = np.asarray(array).astype(NUMPY[entry.dtype])
        if cast.dtype.kind == "f" and not np.isfinite(cast).all():
            if np.isfinite(array).sum() > np.isfinite(cast).sum():
                raise ValueError(f"input {entry.name!r}: a request has a value too large for {entry.dtype}")
            if entry.non_finite != "allow":
                raise ValueError(f"input {entry.name!r}: a request has a value that is not finite")
        return cast

    def _full(self, entry: InputSpec) -> tuple[int, ...]:
        """Shape behind the batch axis, named axes at their maximum."""
        return tuple(self._axes[axis] if isinstance(axis, str) else axis for axis in entry.shape[1:])

    def _widen(self, entry: InputSpec, column: Array) -> Array:
        """Padding on the right of a shorter length axis."""
        if entry.name not in self.with_length or column.ndim < 2:
            return column
        missing = self._full(entry)[0] - column.shape[1]
        if missing <= 0:
            return column
        return np.pad(column, [(0, 0), (0, missing), *[(0, 0)] * (column.ndim - 2)])

    def _pad(self, entry: InputSpec, array: Array) -> Array:
        shape = self._full(entry)
        fits = array.ndim == len(shape) and all(
            size <= most if isinstance(axis, str) else size == most
            for size, most, axis in zip(array.shape, shape, entry.shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                f"input {entry.name!r}: a request has shape {array.shape}, the graph takes {shape} "
                "(a named axis may be shorter; no batch axis)"
            )
        padded = np.zeros(shape, array.dtype)
        padded[tuple(slice(size) for size in array.shape)] = array
        return padded

    def _prior(self, entry: InputSpec, request: ExampleRequest) -> Array:
        if request.prior_scores is not None:
            return self._cast(entry, request.prior_scores)
        if entry.when_absent is None:
            raise ValueError(
                f"input {entry.name!r}: a request has no prior_scores, and when_absent is not set"
            )
        return np.full(request.count, entry.when_absent, np.float32)


@dataclass(frozen=True, slots=True)
class _Index:
    """A vocabulary, sorted for lookup."""

    name: str
    keys: Array
    rows_of: Array
    spec: VocabSpec

    @classmethod
    def of(cls, name: str, spec: VocabSpec) -> _Index:
        table = np.asarray(spec.keys)
        if table.ndim != 1 or len(table) < 2 or table.dtype.kind not in "iU":
            raise ValueError(f"vocabulary {name!r}: keys must be a 1-d array of two or more int64 or str")
        if not 0 <= spec.unknown_row < len(table):
            raise ValueError(f"vocabulary {name!r}: unknown_row {spec.unknown_row} is not one of its rows")
        rows = np.delete(np.arange(len(table), dtype=np.int64), spec.unknown_row)
        order = np.argsort(table[rows], kind="stable")
        keys = table[rows][order]
        if (keys[1:] == keys[:-1]).any():
            raise ValueError(f"vocabulary {name!r} repeats an id")
        return cls(name, keys, rows[order], spec)

    def rows(self, ids: Array) -> Array:
        """Embedding rows, int64, in the shape of `ids`."""
        at = np.minimum(np.searchsorted(self.keys, ids), len(self.keys) - 1)
        known = self.keys[at] == np.asarray(ids)
        if self.spec.unknown == "invalid" and not known.all():
            raise ValueError(f"vocabulary {self.name!r}: a request has an id that it does not hold")
        return np.where(known, self.rows_of[at], self.spec.unknown_row).astype(np.int64)


def _check(spec: ExportSpec) -> None:
    """Refuse what the wire contract cannot carry."""
    for role in ("candidate_id", "prior_score"):
        if sum(entry.role == role for entry in spec.inputs) > 1:
            raise ValueError(f"ExportSpec.inputs has more than one input of role {role}")
    names = {entry.name for entry in spec.inputs} | {entry.length for entry in spec.inputs}
    taken = ({ROW_TO_CONTEXT, GRID_INDEX, GRID_POSITION} | set(spec.heads)) & names
    if taken:
        raise ValueError(
            f"input name {min(str(name) for name in taken)!r} is taken (by a head or by Podium itself)"
        )
    for entry in spec.inputs:
        if entry.vocab is None or entry.role != "context":
            continue
        if np.asarray(spec.vocabs[entry.vocab].keys).dtype.kind != "i":
            raise ValueError(f"context input {entry.name!r}: a tensor on the wire cannot carry string ids")
        if entry.dtype != "int64":
            raise ValueError(f"context input {entry.name!r}: embedding rows are int64, not {entry.dtype}")


def _get(arrays: Mapping[str, Array], entry: InputSpec) -> Array:
    try:
        return np.asarray(arrays[entry.name])
    except KeyError:
        raise ValueError(f"input {entry.name!r}: a request lacks it") from None
