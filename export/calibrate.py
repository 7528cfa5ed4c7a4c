"""Activation ranges for static int8, from calibration requests run through the fp32 graph.

Per product the exporter keeps each input column's range over all rows and a bounded sample of rows, and
runs are bounded in bytes: memory grows neither with the calibration set nor with a request. From these it
chooses, by the error of the product on the sample, how far to clip and whether to level the columns first
(SmoothQuant, Xiao et al., arXiv 2211.10438): raw features of unlike magnitude would else share one step
size, and the small ones vanish.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from export.codec import Codec, Encoded
from export.runtime import Runner, with_outputs
from export.sites import Site
from export.spec import Array

BATCH_ROWS_MAX = 2048
BATCH_BYTES_MAX = 64 << 20
"""Of a run's values: activations over tokens take megabytes per candidate in a large transformer."""
SAMPLE_ROWS = 1024
CLIP_PERCENTILES = (100.0, 99.99, 99.9)
SMOOTHING_ALPHAS = (0.5, 0.8)
SMOOTHING_GAIN_MIN = 1.5
"""Levelling costs a multiplication per element: it must divide the product's error by this to be taken."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """How one product's left-hand side becomes uint8.

    Attributes:
        scale, zero_point: x is stored as round(x / scale) + zero_point, saturating in 0..255.
        smoothing: float32 [K], divides x's columns before that and multiplies the weight's rows; None = ones.
        weight: the weight's codes, int8 [K, N], and scales, float32 [N], rows multiplied already; None: each
            is rounded to the nearest.
    """

    scale: float
    zero_point: int
    smoothing: Array | None = None
    weight: tuple[Array, Array] | None = None


def calibrate(
    model: onnx.ModelProto, sites: Sequence[Site], codec: Codec, requests: Sequence[Encoded]
) -> dict[str, Quantization]:
    """Choose the quantisation of every site's input: site name -> Quantization."""
    values = sorted({site.x for site in sites})
    if not values:
        return {}
    runner = Runner(with_outputs(model, values), optimize=False)
    seen: dict[str, _Seen] = {}
    rng = np.random.default_rng(0)
    for batch in batches(requests, _rows_max(runner, codec, requests)):
        outputs = runner.run(codec.feeds(batch))
        for value in values:
            rows = outputs[value].reshape(-1, outputs[value].shape[-1])
            seen[value] = _merge(seen.get(value), rows, rng)
    return {
        site.name: choose(site, seen[site.x].sample, (seen[site.x].low, seen[site.x].high)) for site in sites
    }


def batches(requests: Sequence[Encoded], rows_max: int = BATCH_ROWS_MAX) -> Iterator[list[Encoded]]:
    """Group requests as the server would, several to a run; one with more than `rows_max` candidates is
    split."""
    batch: list[Encoded] = []
    room = rows_max
    for request in requests:
        for start in range(0, request.count, rows_max):
            part = request.take(np.arange(start, min(start + rows_max, request.count)))
            if batch and part.count > room:
                yield batch
                batch, room = [], rows_max
            batch.append(part)
            room -= part.count
    if batch:
        yield batch


def _rows_max(runner: Runner, codec: Codec, requests: Sequence[Encoded]) -> int:
    """Candidates in a run, so that all values looked at stay below BATCH_BYTES_MAX; from a run of one."""
    outputs = runner.run(codec.feeds([requests[0].take(np.zeros(1, np.int64))]))
    row_bytes = sum(array.nbytes for array in outputs.values())
    return max(1, min(BATCH_ROWS_MAX, BATCH_BYTES_MAX // row_bytes))


def choose(site: Site, sample: Array, extremes: tuple[Array, Array]) -> Quantization:
    """The clipping and levelling with the least error of the product on a sample.

    Args:
        sample: float32 [rows, K] of the site's input.
        extremes: the columns' least and greatest values over all calibration rows, float32 [K] each.
    """
    low, high = extremes
    plain_error, plain = _best_clip(site, sample, (low, high), None)
    best_error, best = plain_error / SMOOTHING_GAIN_MIN, plain
    reach = np.maximum(np.abs(low), np.abs(high))
    weights = np.abs(site.weight).max(axis=1)
    live = (reach > 0) & (weights > 0)
    if not live.any():
        return plain
    for alpha in SMOOTHING_ALPHAS:
        smoothing = np.ones(len(reach), np.float32)
        smoothing[live] = reach[live] ** alpha / weights[live] ** (1 - alpha)
        smoothing[live] /= np.exp(np.log(smoothing[live]).mean())
        error, option = _best_clip(site, sample, (low / smoothing, high / smoothing), smoothing)
        if error < best_error:
            best_error, best = error, option
    return best


def to_uint8_parameters(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of an asymmetric uint8 range that contains 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255.0))
    if scale <= 0.0:
        return 1.0, 0
    return scale, round(-low / scale)


def quantize_weight(weight: Array) -> tuple[Array, Array]:
    """Symmetric int8 per output column: (int8 [K, N], scales float32 [N])."""
    reach = np.abs(weight).max(axis=0)
    scales = np.where(reach > 0, reach / 127.0, 1.0).astype(np.float32)
    return np.clip(np.rint(weight / scales), -127, 127).astype(np.int8), scales


@dataclass(frozen=True, slots=True)
class _Seen:
    low: Array
    high: Array
    sample: Array


def _merge(seen: _Seen | None, rows: Array, rng: np.random.Generator) -> _Seen:
    """Widen the ranges and mix new rows into the sample."""
    few = rows if len(rows) <= SAMPLE_ROWS else rows[rng.choice(len(rows), SAMPLE_ROWS, replace=False)]
    if seen is None:
        return _Seen(rows.min(axis=0), rows.max(axis=0), few)
    both = np.concatenate([seen.sample, few])
    sample = both if len(both) <= SAMPLE_ROWS else both[rng.choice(len(both), SAMPLE_ROWS, replace=False)]
    return _Seen(np.minimum(seen.low, rows.min(axis=0)), np.maximum(seen.high, rows.max(axis=0)), sample)


def _best_clip(
    site: Site, sample: Array, extremes: tuple[Array, Array], smoothing: Array | None
) -> tuple[float, Quantization]:
    x = sample if smoothing is None else sample / smoothing
    weight = site.weight if smoothing is None else site.weight * smoothing[:, None]
    stored, scales = quantize_weight(weight)
    exact = x @ weight
    options: list[tuple[float, Quantization]] = []
    for percentile in CLIP_PERCENTILES:
        low, high = float(extremes[0].min()), float(extremes[1].max())
        if percentile < 100.0:
            low, high = (float(v) for v in np.percentile(x, (100.0 - percentile, percentile)))
        scale, zero_point = to_uint8_parameters(low, high)
        codes = np.clip(np.rint(x / scale) + zero_point, 0, 255) - zero_point
        product = (codes.astype(np.float32) @ stored.astype(np.float32)) * (scale * scales)
        error = float(np.square(product - exact).mean())
        options.append((error, Quantization(scale, zero_point, smoothing)))
    return min(options, key=lambda option: option[0])
