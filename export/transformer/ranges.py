"""Column ranges of the inputs of matrix products, over valid tokens only.

Padding tokens go through every layer and nobody reads what comes of them, so their values must not widen a
range. Which tokens are valid is read off the attention's own mask. Only running minima and maxima are kept,
and batches are small: memory does not grow with the calibration set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from export.codec import Codec, Encoded
from export.runtime import Runner, with_outputs
from export.spec import Array
from export.transformer.attention import OPERATOR

RUN_CANDIDATES = 32
CANDIDATES_MAX = 2_000
"""Candidates that calibrate, drawn evenly from all requests."""
MASKED_BELOW = -1e3
"""An additive mask below this shuts a token out: exp of it is 0 beside any score of a trained model."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Least and greatest value of each column, float32 [K] each."""

    low: Array
    high: Array

    @property
    def reach(self) -> Array:
        """Greatest magnitude of each column, float32 [K]."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def column_ranges(
    model: onnx.ModelProto, values: Sequence[str], codec: Codec, requests: Sequence[Encoded]
) -> dict[str, Columns]:
    """Run calibration candidates through a rewritten fp32 graph: value -> its columns' ranges."""
    mask = mask_of(model)
    outputs = [*values, *([mask] if mask is not None else [])]
    runner = Runner(with_outputs(model, outputs), optimize=False)
    found: dict[str, Columns] = {}
    for batch in runs(requests):
        got = runner.run(codec.feeds(batch))
        valid = None if mask is None else valid_tokens(got[mask])
        for value in values:
            rows = got[value].reshape(-1, got[value].shape[-1])
            if valid is not None and len(rows) == valid.size:
                rows = rows[valid.reshape(-1)]
            if len(rows):
                found[value] = _widened(found.get(value), rows)
    return found


def mask_of(model: onnx.ModelProto) -> str | None:
    """The mask of the first attention; None without attention or mask."""
    for node in model.graph.node:
        if node.op_type == OPERATOR:
            return str(node.input[3]) if len(node.input) > 3 and node.input[3] else None
    return None


def valid_tokens(mask: Array) -> NDArray[np.bool_]:
    """Bool [N, S]: the tokens that some query attends to; `mask` is additive or boolean, [N, heads, S, S]."""
    attended = mask if mask.dtype == np.bool_ else mask > MASKED_BELOW
    seen: NDArray[np.bool_] = np.logical_or.reduce(attended, axis=(1, 2))
    return seen


def runs(requests: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    """Up to RUN_CANDIDATES candidates at a time, of up to CANDIDATES_MAX in all, every request among them."""
    total = sum(request.count for request in requests)
    share = min(1.0, CANDIDATES_MAX / max(total, 1))
    batch: list[Encoded] = []
    room = RUN_CANDIDATES
    for request in requests:
        count = max(1, round(share * request.count))
        rows = np.linspace(0, request.count - 1, count).astype(np.int64)
        while len(rows):
            part, rows = rows[:room], rows[room:]
            batch.append(request.take(part))
            room -= len(part)
            if not room:
                yield batch
                batch, room = [], RUN_CANDIDATES
    if batch:
        yield batch


def _widened(seen: Columns | None, rows: Array) -> Columns:
    low, high = rows.min(axis=0), rows.max(axis=0)
    return (
        Columns(low, high)
        if seen is None
        else Columns(np.minimum(seen.low, low), np.maximum(seen.high, high))
    )


def without(columns: Columns, dropped: Sequence[int]) -> Columns:
    """The ranges with these columns at 0."""
    low, high = columns.low.copy(), columns.high.copy()
    low[list(dropped)] = high[list(dropped)] = 0.0
    return Columns(low, high)


def levelled(columns: Columns, factors: Array | None) -> Columns:
    """The ranges of the columns divided by positive factors."""
    return columns if factors is None else Columns(columns.low / factors, columns.high / factors)
