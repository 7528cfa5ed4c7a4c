"""What the gates judge by: encoded requests with their PyTorch scores, and a variant with its own.

Both are computed once and shared. The PyTorch side is `export.reference`, one request at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx

from export.codec import Codec, Encoded
from export.encoding import encode_all
from export.reference import Heads, Reference, Scores, combine, one_thread
from export.runtime import Runner
from export.side_by_side import each
from export.spec import ExampleRequest, ExportSpec


@dataclass(frozen=True, slots=True)
class Evidence:
    """Requests and what PyTorch says about them; the labelled ones come first.

    Attributes:
        heads: PyTorch's scores, per request.
        scores: the same, combined.
        score_std: mean over requests of the standard deviation of a request's combined scores: the yardstick
            for differences, because an order only knows differences within a request.
    """

    spec: ExportSpec
    codec: Codec
    raw: tuple[ExampleRequest, ...]
    requests: tuple[Encoded, ...]
    heads: tuple[Heads, ...]
    scores: tuple[Scores, ...]
    score_std: float

    @classmethod
    def gather(cls, spec: ExportSpec, codec: Codec, reference: Reference) -> Evidence:
        """Score every request of the spec with PyTorch.

        Raises:
            ValueError: a request does not fit the spec, or PyTorch's own scores are not finite or all equal.
        """
        raw = (*spec.requests, *spec.unlabelled)
        requests = (
            *encode_all(codec, spec.requests, "requests"),
            *encode_all(codec, spec.unlabelled, "unlabelled"),
        )
        with one_thread():
            heads = tuple(each(reference.heads, requests))
        scores = tuple(combine(spec, values) for values in heads)
        if not all(np.isfinite(row).all() for row in scores):
            raise ValueError("the PyTorch model itself gives scores that are not finite")
        score_std = float(np.mean([row.std() for row in scores]))
        if score_std == 0.0:
            raise ValueError(
                "the PyTorch model gives all candidates of a request the same score: nothing to rank"
            )
        return cls(spec, codec, raw, requests, heads, scores, score_std)


class Subject:
    """A variant under judgement: its graph, one session on it, and its scores."""

    def __init__(self, variant: str, model: onnx.ModelProto) -> None:
        self.variant = variant
        self.model = model
        self._alone: tuple[tuple[Encoded, ...], list[Heads]] | None = None

    @cached_property
    def runner(self) -> Runner:
        """A session as the server would make it."""
        return Runner(self.model)

    def alone(self, evidence: Evidence) -> Sequence[Heads]:
        """Every request run alone through the graph; computed once per set of requests."""
        if self._alone is None or self._alone[0] is not evidence.requests:
            runner = self.runner
            heads = each(lambda one: runner.heads(evidence.codec, [one]), evidence.requests)
            self._alone = (evidence.requests, heads)
        return self._alone[1]

    def scores(self, evidence: Evidence) -> list[Scores]:
        """Combined scores of every request, run alone."""
        return [combine(evidence.spec, heads) for heads in self.alone(evidence)]
