"""Traced cross-encoders, each shape once: tracing takes seconds."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from export.codec import Codec, Encoded
from export.runtime import Runner
from export.spec import Array, ExportSpec
from export.tracing import trace
from export.transformer.ranges import Columns
from export.transformer.rewrite import Rewritten, rewrite
from tests.export_specs import cross_encoder
from tests.export_specs.cross_encoder import Shape

ANY_SPEED = 1e9
"""What these graphs take is no business of a unit test."""


@dataclass(frozen=True)
class Case:
    """A spec with its graph as traced, and as rewritten."""

    spec: ExportSpec
    codec: Codec
    requests: tuple[Encoded, ...]
    traced: onnx.ModelProto
    rewritten: Rewritten

    @property
    def feeds(self) -> Mapping[str, Array]:
        """All requests in one batch."""
        return self.codec.feeds(self.requests)

    def exact(self) -> Array:
        """The traced graph's scores of `feeds`."""
        return Runner(self.traced).run(self.feeds)["score"]


@functools.cache
def case(shape: Shape) -> Case:
    """The cross-encoder of this shape."""
    spec = cross_encoder.spec(shape)
    codec = Codec(spec)
    requests = tuple(codec.encode(request) for request in spec.requests[:40])
    traced = trace(spec, codec, requests[0])
    rewritten = rewrite(traced, codec.feeds(requests), slowdown_max=ANY_SPEED)
    assert rewritten is not None
    return Case(spec, codec, requests, traced, rewritten)


def error(got: Array, exact: Array) -> float:
    """Largest difference."""
    return float(np.abs(got - exact).max())


def of(rows: Array) -> Columns:
    """What calibration would keep of these rows, float32 [rows, K]."""
    return Columns(
        low=rows.min(axis=0),
        high=rows.max(axis=0),
        rows=len(rows),
        sums=rows.sum(axis=0, dtype=np.float64),
        squares=np.square(rows, dtype=np.float64).sum(axis=0),
        products=rows.astype(np.float64).T @ rows.astype(np.float64),
    )
