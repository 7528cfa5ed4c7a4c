"""What the inputs of matrix products are like: column ranges, and how columns vary together.

Over valid tokens only: padding goes through every layer and nobody reads what comes of it, so its values
must not widen a range. Which tokens are valid is read off the attention's own mask. Only running minima,
maxima and sums are kept, and batches are small: memory does not grow with the calibration set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
PRODUCTS_BYTES_MAX = 512 << 20
"""Of all values' sums of products together; those with the most columns have none beyond it."""
MASKED_BELOW = -1e3
"""An additive mask below this shuts a token out: exp of it is 0 beside any score of a trained model."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Of one value, over the rows seen.

    Attributes:
        low, high: least and greatest value of each column, float32 [K] each.
        rows: how many were seen.
        sums, squares: of each column, float64 [K] each.
        products: float64 [K, K], sum of x x^T over the rows; None where that was too large to keep.
    """

    low: Array
    high: Array
    rows: int
    sums: Array
    squares: Array
    products: Array | None

    @property
    def reach(self) -> Array:
        """Greatest magnitude of each column, float32 [K]."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def column_ranges(
    model: onnx.ModelProto, values: Sequence[str], codec: Codec, requests: Sequence[Encoded]
) -> dict[str, Columns]:
    """Run calibration candidates through a rewritten fp32 graph: value -> its columns."""
    mask = mask_of(model)
    outputs = [*values, *([mask] if mask is not None else [])]
    runner = Runner(with_outputs(model, outputs), optimize=False)
    found: dict[str, Columns] = {}
    summed: set[str] | None = None
    for batch in runs(requests):
        got = runner.run(codec.feeds(batch))
        valid = None if mask is None else valid_tokens(got[mask])
        if summed is None:
            summed = _affordable({value: got[value].shape[-1] for value in values})
        for value in values:
            rows = got[value].reshape(-1, got[value].shape[-1])
            if valid is not None and len(rows) == valid.size:
                rows = rows[valid.reshape(-1)]
            if len(rows):
                found[value] = _widened(found.get(value), rows, summed=value in summed)
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


def _affordable(widths: Mapping[str, int]) -> set[str]:
    """The values whose products are summed, narrow ones first."""
    left, some = PRODUCTS_BYTES_MAX, set()
    for value in sorted(widths, key=lambda value: widths[value]):
        left -= 8 * widths[value] ** 2
        if left >= 0:
            some.add(value)
    return some


def _widened(seen: Columns | None, rows: Array, *, summed: bool) -> Columns:
    now = Columns(
        low=rows.min(axis=0),
        high=rows.max(axis=0),
        rows=len(rows),
        sums=rows.sum(axis=0, dtype=np.float64),
        squares=np.square(rows, dtype=np.float64).sum(axis=0),
        products=(rows.T @ rows).astype(np.float64) if summed else None,
    )
    if seen is None:
        return now
    return Columns(
        low=np.minimum(seen.low, now.low),
        high=np.maximum(seen.high, now.high),
        rows=seen.rows + now.rows,
        sums=seen.sums + now.sums,
        squares=seen.squares + now.squares,
        products=None if now.products is None or seen.products is None else seen.products + now.products,
    )


def without(columns: Columns, dropped: Sequence[int]) -> Columns:
    """The columns with these at 0."""
    kept = np.ones(len(columns.low))
    kept[list(dropped)] = 0.0
    return _scaled(columns, kept)


def levelled(columns: Columns, factors: Array | None) -> Columns:
    """The columns divided by positive factors, float32 [K]."""
    return columns if factors is None else _scaled(columns, 1.0 / factors.astype(np.float64))


def moved(columns: Columns, centre: Array) -> Columns:
    """The columns with a constant of each, float32 [K], taken off."""
    mean, rows = columns.sums / max(columns.rows, 1), columns.rows
    products = columns.products
    if products is not None:
        products = products + rows * (np.outer(mean - centre, mean - centre) - np.outer(mean, mean))
    return replace(
        columns,
        low=columns.low - centre,
        high=columns.high - centre,
        sums=columns.sums - rows * centre,
        squares=columns.squares + rows * (np.square(mean - centre) - np.square(mean)),
        products=products,
    )


def _scaled(columns: Columns, by: Array) -> Columns:
    return replace(
        columns,
        low=(columns.low * by).astype(np.float32),
        high=(columns.high * by).astype(np.float32),
        sums=columns.sums * by,
        squares=columns.squares * by**2,
        products=None if columns.products is None else columns.products * np.outer(by, by),
    )
