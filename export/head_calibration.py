"""Heads become what callers see: activation and calibration, part of the ranker before anything is traced.

The finished ranker is a spec like any other, whose `score` ends with them. So the reference, the graph, int8
and every gate see the same numbers as the caller, and the server has nothing to do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from export import platt
from export.codec import Codec
from export.encoding import encode_one
from export.head_labels import labels_of, require_known_heads
from export.platt import Curve
from export.reference import Heads, Reference, one_thread
from export.spec import Array, ExampleRequest, ExportSpec
from measures.probability import calibration_error, log_loss
from protos.manifest import Calibration

HeadsOf = Callable[[str, int], Heads]
"""(field of the spec, request) -> PyTorch's scores of it."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A head's calibration and what it did to the evaluation requests.

    Attributes:
        log_loss_before, log_loss_after: mean, natural logarithm.
    """

    curve: Curve
    entry: Calibration
    log_loss_before: float
    log_loss_after: float


def fit(spec: ExportSpec, codec: Codec) -> dict[str, Fitted]:
    """Calibrate the heads that ask for it: on `spec.calibration`, judged on `spec.requests`.

    Raises:
        ValueError: a head has no labels to be calibrated or judged by, or they contradict it.
    """
    require_known_heads(spec)
    heads = [head for head, output in spec.outputs.items() if output.calibrate]
    if not heads:
        return {}
    reference = Reference(spec, codec)

    @functools.cache  # every head asks for the same requests
    def heads_of(field: str, at: int) -> Heads:
        request: ExampleRequest = getattr(spec, field)[at]
        return reference.heads(encode_one(codec, request, f"ExportSpec.{field}[{at}]"))

    with one_thread():
        return {head: _fit(spec, heads_of, head) for head in heads}


def finished(spec: ExportSpec, fitted: Mapping[str, Fitted]) -> ExportSpec:
    """The ranker whose heads are as callers see them; the same spec where nothing is to be done."""
    sigmoids = [head for head, output in spec.outputs.items() if output.activation == "sigmoid"]
    if not sigmoids:
        return spec
    inner = spec.score
    curves = {head: fitted[head].curve if head in fitted else None for head in sigmoids}

    def score(*placed: Any, **candidates: Any) -> dict[str, Any]:  # the state, and a grid's layout
        outputs = dict(inner(*placed, **candidates))
        for head, curve in curves.items():
            if head in outputs:  # a head that is missing is named by whoever checks the outputs
                outputs[head] = _activated(outputs[head].float(), curve)
        return outputs

    score.__wrapped__ = inner  # type: ignore[attr-defined]  # where `owned_modules` finds the user's modules
    return replace(spec, score=score)


def _activated(logit: Any, curve: Curve | None) -> Any:
    return torch.sigmoid(logit if curve is None else logit * curve.slope + curve.intercept)


def _fit(spec: ExportSpec, heads_of: HeadsOf, head: str) -> Fitted:
    logit, label, requests = _labelled(spec, heads_of, head, "calibration")
    try:
        curve = platt.fit(logit, label)
    except ValueError as error:
        raise ValueError(f"head {head!r} cannot be calibrated on ExportSpec.calibration: {error}") from error
    unseen, truth, _ = _labelled(spec, heads_of, head, "requests")
    before, after = Curve().probability(unseen), curve.probability(unseen)
    entry = Calibration(
        slope=curve.slope,
        intercept=curve.intercept,
        requests=requests,
        candidates=len(label),
        error_before=calibration_error(before, truth),
        error_after=calibration_error(after, truth),
    )
    return Fitted(curve, entry, log_loss(before, truth), log_loss(after, truth))


def _labelled(spec: ExportSpec, heads_of: HeadsOf, head: str, field: str) -> tuple[Array, Array, int]:
    """Logits and labels of the candidates in `spec.FIELD` with a known label; how many requests those are."""
    requests: list[ExampleRequest] = list(getattr(spec, field))
    labelled = labels_of(spec, head, requests, field)
    rows = labelled.requests
    if not rows:
        own = f"head_labels[{head!r}]" + (" or labels" if len(spec.heads) == 1 else "")
        raise ValueError(
            f"head {head!r} is to be calibrated, but no request of ExportSpec.{field} has {own}: "
            f"give it, or leave calibrate out of ExportSpec.outputs[{head!r}]"
        )
    logits = [heads_of(field, at)[head] for at in rows]
    logit, label = labelled.known(logits, rows)
    return logit, label, len(rows)
