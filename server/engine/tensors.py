"""Requests to feeds, scores back to requests. The only place that indexes rows, and the one that copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np

from protos.manifest import Input
from protos.tensor import NUMPY
from server.domain import Array, Payload, Scores
from server.engine.api import Batch
from server.engine.layout import Layout


class Packer:
    """Packs the payloads of one lane; owned by one executor, whose buffers it reuses.

    Candidate columns of several requests are gathered into buffers that live as long as the executor: a fresh
    multi-megabyte array per run would cost its page faults every time (docs/decisions.md, reused buffers).
    A run must have ended before the next `pack`.
    """

    def __init__(self, layout: Layout, rows_max: int) -> None:
        self._layout = layout
        self._buffers = {
            entry.name: np.empty((rows_max, *_tail(entry)), NUMPY[entry.dtype]) for entry in layout.candidates
        }
        self._row_to_context = np.empty(rows_max, np.int64)
        self._zeros = np.zeros(rows_max, np.int64)

    def pack(self, payloads: Sequence[Payload]) -> Batch:
        """Lay out one or more requests as the feeds of one run."""
        rows = sum(payload.rows for payload in payloads)
        feeds: dict[str, Array] = {}
        for at, entry in enumerate(self._layout.context):
            self._pack_context(entry, [payload.context[at] for payload in payloads], feeds)
        for at, entry in enumerate(self._layout.candidates):
            feeds[entry.name] = self._pack_column(
                entry, [payload.candidates[at] for payload in payloads], rows
            )
        if self._layout.row_to_context is not None:
            feeds[self._layout.row_to_context] = self._pack_rows(payloads, rows)
        return Batch(feeds, rows)

    def _pack_context(self, entry: Input, parts: Sequence[Array], feeds: dict[str, Array]) -> None:
        shape, dtype = self._layout.padded_shape(entry), NUMPY[entry.dtype]
        length = self._layout.lengths.get(entry.name)
        if length is not None:
            feeds[length] = np.array([len(part) for part in parts], np.int64)
        if all(part.shape == shape for part in parts):
            stacked = np.stack(parts) if len(parts) > 1 else parts[0][None]
            feeds[entry.name] = stacked.astype(
                dtype, copy=False
            )  # one may have been sent in an accepted dtype
            return
        padded = np.full((len(parts), *shape), entry.pad_value, dtype)
        for row, part in zip(padded, parts, strict=True):
            row[tuple(slice(size) for size in part.shape)] = part
        feeds[entry.name] = padded

    def _pack_column(self, entry: Input, parts: Sequence[Array], rows: int) -> Array:
        if len(parts) == 1:
            part = parts[0]
            return part if part.dtype == NUMPY[entry.dtype] else part.astype(NUMPY[entry.dtype])
        buffer = self._buffers[entry.name]
        if rows > len(buffer):
            return np.concatenate(parts, dtype=buffer.dtype)
        return np.concatenate(parts, out=buffer[:rows])

    def _pack_rows(self, payloads: Sequence[Payload], rows: int) -> Array:
        if rows > len(self._zeros):
            counts = [payload.rows for payload in payloads]
            return np.repeat(np.arange(len(payloads), dtype=np.int64), counts)
        if len(payloads) == 1:
            return self._zeros[:rows]
        index = self._row_to_context[:rows]
        at = 0
        for row, payload in enumerate(payloads):
            index[at : at + payload.rows] = row
            at += payload.rows
        return index


def split(heads: Mapping[str, Scores], rows: Sequence[int]) -> list[Mapping[str, Scores]]:
    """Give each request its slice of every head; `rows` are the requests' sizes in batch order."""
    ends = list(accumulate(rows))
    return [
        {head: scores[end - size : end] for head, scores in heads.items()}
        for size, end in zip(rows, ends, strict=True)
    ]


def _tail(entry: Input) -> tuple[int, ...]:
    return tuple(int(size) for size in entry.shape[1:])
