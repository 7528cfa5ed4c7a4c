"""What cannot become a graph is said in words for its author: the line, what is wrong with it, what to do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.codec import Codec
from export.spec import ExampleRequest, ExportSpec, candidate
from export.tracing import ExportFailed, trace

Heads = dict[str, Tensor]
Score = Callable[[Mapping[str, Tensor], Tensor], Heads]

BAG = nn.EmbeddingBag(10, 4)


def with_a_bag(state: Mapping[str, Tensor], features: Tensor) -> Heads:
    return {"score": BAG((features * 2).long().clamp(0, 9)).sum(1)}  # here


def with_a_functional_bag(state: Mapping[str, Tensor], features: Tensor) -> Heads:
    ids = (features * 2).long().clamp(0, 9)
    return {"score": functional.embedding_bag(ids, BAG.weight).sum(1)}  # here


def with_a_branch(state: Mapping[str, Tensor], features: Tensor) -> Heads:
    total = features.sum(1)
    if float(total.sum()) > 0:  # here
        total = -total
    return {"score": total}


def with_a_shape_of_values(state: Mapping[str, Tensor], features: Tensor) -> Heads:
    kept = features[features[:, 0] > 0]
    if kept.shape[0] > 3:  # here
        return {"score": features.sum(1)}
    return {"score": features.sum(1) + kept.sum()}


def with_an_operator_that_has_no_form(state: Mapping[str, Tensor], features: Tensor) -> Heads:
    return {"score": torch.special.bessel_j0(features).sum(1)}  # here


def with_a_size_of_its_own(state: Mapping[str, Tensor], features: Tensor) -> Heads:
    weights = torch.ones(7)
    return {"score": features.sum(1) * weights}  # here


CASES: list[tuple[Score, str, str]] = [
    (with_a_bag, "EmbeddingBag becomes a loop", "nn.Embedding on ids padded to one length"),
    (with_a_functional_bag, "EmbeddingBag becomes a loop", "nn.Embedding on ids padded to one length"),
    (with_a_branch, "a branch or a shape depends on values", "torch.where"),
    (with_a_shape_of_values, "a branch or a shape depends on values", "x[mask]"),
    (
        with_an_operator_that_has_no_form,
        "an operator has no ONNX form (prims.bessel_j0)",
        "operators that have one",
    ),
    (with_a_size_of_its_own, "was taken for a constant", "take sizes from the tensors at hand"),
]


@pytest.mark.parametrize(("score", "what", "advice"), CASES, ids=[case[0].__name__ for case in CASES])
def test_the_sentence_names_the_line_the_fault_and_the_way_out(score: Score, what: str, advice: str) -> None:
    """One sentence: what it is, the author's own line with its code, what to do instead."""
    spec = plain(score)
    codec = Codec(spec)
    with pytest.raises(ExportFailed) as refusal:
        trace(spec, codec, codec.encode(spec.requests[0]))
    said = str(refusal.value)
    source, first = inspect.getsourcelines(score)
    line = first + next(at for at, code in enumerate(source) if code.rstrip().endswith("# here"))
    assert what in said
    assert advice in said
    assert f"test_diagnose.py:{line} `" in said
    assert "\n" not in said


def plain(score: Score) -> ExportSpec:
    rng = np.random.default_rng(0)
    made = [
        ExampleRequest(context={}, candidates={"features": rng.normal(size=(7, 3)).astype(np.float32)})
        for _ in range(4)
    ]
    return ExportSpec(
        name="plain",
        context=dict,
        score=score,
        inputs=[candidate("features", "float32", 3)],
        requests=made,
        calibration=made,
    )
