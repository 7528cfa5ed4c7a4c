"""Requests to feeds, scores back to requests. The only place that indexes rows, and the one that copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from protos.grid import lay_out
from protos.manifest import Input
from protos.tensor import NUMPY
from server.domain import Array, Payload, Scores
from server.engine.api import Batch
from server.engine.grids import alike
from server.engine.layout import Layout


class Packer:
    """Packs the payloads of one lane; owned by one executor, whose buffers it reuses.

    Everything of several requests is gathered once, into buffers that live as long as the executor: a fresh
    multi-megabyte array per run would cost its page faults every time (docs/decisions.md, reused buffers).
    What one request alone brings goes to the graph as it came off the wire, if it has the graph's form.
    A run must have ended before the next `pack`.
    """

    def __init__(self, layout: Layout, rows_max: int) -> None:
        self._contexts = [
            _ContextInput(entry, layout.padded_shape(entry), layout.lengths.get(entry.name))
            for entry in layout.context
        ]
        self._columns = [_Column(entry, layout.padded_shape(entry), rows_max) for entry in layout.candidates]
        self._has_lengths = layout.length is not None
        self._row_to_context = layout.row_to_context
        self._grid = layout.grid
        self._slots = np.arange(rows_max if layout.grid is not None else 0)
        self._zeros = np.zeros(rows_max, np.int64)
        self._ordinals = np.arange(1)

    def pack(self, payloads: Sequence[Payload]) -> Batch:
        """Lay out one or more requests as the feeds of one run."""
        if len(payloads) == 1:
            return self._pack_one(payloads[0])
        counts = [payload.rows for payload in payloads]
        rows = sum(counts)
        feeds: dict[str, Array] = {}
        for context, parts in zip(
            self._contexts, zip(*[payload.context for payload in payloads], strict=True), strict=True
        ):
            context.gather(parts, feeds)
        for column, parts in zip(
            self._columns, zip(*[payload.candidates for payload in payloads], strict=True), strict=True
        ):
            feeds[column.name] = column.gather(parts, rows)
        if self._row_to_context is not None:
            if len(counts) > len(self._ordinals):
                self._ordinals = np.arange(2 * len(counts))
            feeds[self._row_to_context] = self._ordinals[: len(counts)].repeat(counts)
        if self._grid is not None:
            index, position = self._grid
            feeds[index], feeds[position] = lay_out(counts)
        if not self._has_lengths:
            return Batch(feeds, rows)
        lengths = [payload.lengths for payload in payloads if payload.lengths is not None]
        return Batch(feeds, rows, np.concatenate(lengths))

    def groups(self, counts: Sequence[int]) -> Sequence[Sequence[int]]:
        """Which requests of a run make one batch, by their place in it: a grid is not to stay empty."""
        return [range(len(counts))] if self._grid is None else alike(counts)

    def _pack_one(self, payload: Payload) -> Batch:
        rows = payload.rows
        feeds: dict[str, Array] = {}
        for context, part in zip(self._contexts, payload.context, strict=True):
            context.gather_one(part, feeds)
        for column, part in zip(self._columns, payload.candidates, strict=True):
            feeds[column.name] = part if part.dtype == column.dtype else part.astype(column.dtype)
        if self._row_to_context is not None:
            if rows > len(self._zeros):
                self._zeros = np.zeros(rows, np.int64)
            feeds[self._row_to_context] = self._zeros[:rows]
        if self._grid is not None:
            index, position = self._grid
            if rows > len(self._slots):
                self._slots = np.arange(rows)
            # One request fills its grid: every candidate stands where it is numbered.
            feeds[position] = self._slots[:rows]
            feeds[index] = self._slots[None, :rows]
        return Batch(feeds, rows, payload.lengths)


class _ContextInput:
    """One context input: a row per request, padded on the right, and the buffer it is laid out in."""

    def __init__(self, entry: Input, shape: tuple[int, ...], length_name: str | None) -> None:
        self._name = entry.name
        self._shape = shape
        self._dtype: np.dtype[Any] = NUMPY[entry.dtype]
        self._pad_value = entry.pad_value
        self._ragged = any(isinstance(axis, str) for axis in entry.shape[1:])
        self._length_name = length_name
        self._grow(1)

    def gather(self, parts: Sequence[Array], feeds: dict[str, Array]) -> None:
        """One row per part."""
        count = len(parts)
        if count > len(self._rows):
            self._grow(2 * count)
        rows = self._rows[:count]
        if self._ragged:
            self._pad(rows, parts)
        else:
            for at, part in enumerate(parts):
                rows[at] = part
        feeds[self._name] = rows
        if self._length_name is not None:
            feeds[self._length_name] = np.fromiter(map(len, parts), np.int64, count)

    def _pad(self, rows: Array, parts: Sequence[Array]) -> None:
        rows.fill(self._pad_value)
        if len(self._shape) > 1:
            for at, part in enumerate(parts):
                rows[at][tuple(map(slice, part.shape))] = part
            return
        flat, at = rows.reshape(-1), 0  # one long row: a slice of it is cheaper than a row's slice
        for part in parts:
            flat[at : at + len(part)] = part
            at += self._shape[0]

    def gather_one(self, part: Array, feeds: dict[str, Array]) -> None:
        """A batch of one: no copy of what has the graph's form."""
        if part.shape != self._shape or part.dtype != self._dtype:
            self.gather((part,), feeds)
            return
        feeds[self._name] = part[None]
        if self._length_name is not None:
            feeds[self._length_name] = np.array([len(part)])

    def _grow(self, count: int) -> None:
        self._rows = np.empty((count, *self._shape), self._dtype)


class _Column:
    """One candidate input and the buffer that the columns of several requests are gathered into."""

    def __init__(self, entry: Input, shape: tuple[int, ...], rows_max: int) -> None:
        self.name = entry.name
        self.dtype: np.dtype[Any] = NUMPY[entry.dtype]
        self._pad_value = entry.pad_value
        self._buffer = np.empty((rows_max, *shape), self.dtype)
        self._long = any(isinstance(axis, str) for axis in entry.shape[1:])

    def gather(self, parts: Sequence[Array], rows: int) -> Array:
        """The parts, one below the other, in the graph's dtype."""
        if self._long:
            return self._gather_long(parts, rows)
        if rows > len(self._buffer):
            return np.concatenate(parts, dtype=self.dtype)
        return np.concatenate(parts, out=self._buffer[:rows])

    def _gather_long(self, parts: Sequence[Array], rows: int) -> Array:
        """The same where each request has a length axis of its own size: padded to the longest of them."""
        buffer = self._buffer
        if rows > len(buffer):
            buffer = np.empty((rows, *buffer.shape[1:]), self.dtype)
        gathered = buffer[:rows, : max(part.shape[1] for part in parts)]
        at = 0
        for part in parts:
            end, length = at + len(part), part.shape[1]
            gathered[at:end, :length] = part
            gathered[at:end, length:] = self._pad_value
            at = end
        return gathered


def split(heads: Mapping[str, Scores], rows: Sequence[int]) -> list[Mapping[str, Scores]]:
    """Give each request its slice of every head; `rows` are the requests' sizes in batch order."""
    if len(rows) == 1:
        return [heads]
    parts: list[dict[str, Scores]] = [{} for _ in rows]
    for head, scores in heads.items():
        at = 0
        for part, size in zip(parts, rows, strict=True):
            end = at + size
            part[head] = scores[at:end]
            at = end
    return list(parts)
