"""A variant made from the fp32 graph, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from export.gates.evidence import Subject
from export.sensitivity import Search
from export.sites import WEIGHTS_MIN, WIDTH_MIN, Site


@dataclass(frozen=True, slots=True)
class Quantised:
    """A variant's graph and what was done to it.

    Attributes:
        subject: the graph, with the scores that the gates will ask for where the search has them.
        quantized: names of the products that left fp32.
        kept_fp32: product -> why it stayed in fp32.
        levelled: products whose input columns are levelled before quantisation.
        search: the sensitivity search; `search.excluded` is part of `kept_fp32`.
        outliers: value between the layers of a transformer's FFN -> its neurons that stayed in fp32.
    """

    subject: Subject
    quantized: tuple[str, ...]
    kept_fp32: Mapping[str, str]
    levelled: tuple[str, ...] = ()
    search: Search = field(default_factory=Search)
    outliers: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def model(self) -> onnx.ModelProto:
        """The graph."""
        return self.subject.model


def too_small(site: Site) -> str:
    """Why a product that does not pay stays in fp32."""
    k, n = site.weight.shape
    if min(k, n) < WIDTH_MIN:
        return f"{k}x{n} is narrower than {WIDTH_MIN}"
    return f"{k}x{n} has fewer than {WEIGHTS_MIN} weights"
