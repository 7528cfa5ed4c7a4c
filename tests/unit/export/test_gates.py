"""Every gate lets the good graph pass and refuses, under its own name, one that is broken in its way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from torch import Tensor

from export.codec import Codec
from export.gates import (
    GateFailed,
    agreement,
    batch_invariance,
    context_once,
    parity,
    quality,
    shapes,
    speed,
)
from export.gates.evidence import Evidence, Subject
from export.reference import Reference
from export.spec import ExportSpec
from export.tracing import trace
from tests.export_specs import tiny
from tests.unit.export import broken


def refused(gate: Callable[[Evidence, Subject], object], evidence: Evidence, subject: Subject) -> GateFailed:
    with pytest.raises(GateFailed) as refusal:
        gate(evidence, subject)
    return refusal.value


def test_parity_accepts_the_traced_graph(evidence: Evidence, fp32: Subject) -> None:
    """The traced graph gives PyTorch's scores on all requests."""
    result = parity.check(evidence, fp32)

    assert result.verdict == "pass"
    assert result.numbers["scores"] == sum(request.count for request in evidence.requests)


def test_parity_refuses_a_wrong_scale(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """A scale that is off by a thousandth keeps the order, and is found all the same."""
    subject = Subject("fp32", broken.scaled(graph, 1.001))

    assert refused(parity.check, evidence, subject).gate_name == "parity"
    assert agreement.check(evidence, subject)[1].tau_mean > 0.999


def test_parity_refuses_swapped_candidates(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """Scores given to the wrong candidate are found."""
    subject = Subject("fp32", broken.first_two_swapped(graph))

    assert refused(parity.check, evidence, subject).gate_name == "parity"


def test_parity_refuses_scores_that_are_not_finite(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """NaN compares as neither larger nor smaller than a threshold, and is refused."""
    subject = Subject("fp32", broken.scaled(graph, float("nan")))

    assert refused(parity.check, evidence, subject).gate_name == "parity"


def test_context_once_accepts_the_traced_graph(evidence: Evidence, fp32: Subject) -> None:
    """The context side of the tiny ranker runs per context."""
    numbers = context_once.check(evidence, fp32).numbers

    assert isinstance(numbers["context_operators"], int)
    assert numbers["context_operators"] > 5


def test_context_once_refuses_a_tower_behind_the_gather(spec: ExportSpec) -> None:
    """A spec that gathers first and runs the user's tower in `score` computes it per candidate."""
    ranker = tiny.model()

    def context(**inputs: Tensor) -> Mapping[str, Tensor]:
        return inputs

    def score(
        state: Mapping[str, Tensor], item: Tensor, features: Tensor, prior: Tensor
    ) -> Mapping[str, Tensor]:
        return ranker.score(ranker.context(**state), item, features, prior)

    tiled = dataclasses.replace(spec, context=context, score=score)
    codec = Codec(tiled)
    evidence = Evidence.gather(tiled, codec, Reference(tiled, codec))
    subject = Subject("fp32", trace(tiled, codec, evidence.requests[0]))

    assert parity.check(evidence, subject).verdict == "pass"
    assert refused(context_once.check, evidence, subject).gate_name == "context_once"


def test_shapes_accepts_the_traced_graph(evidence: Evidence, fp32: Subject) -> None:
    """One candidate, primes and several contexts all give PyTorch's scores."""
    assert shapes.check(evidence, fp32).numbers["shapes"] == len(shapes.SIZES)


def test_shapes_refuses_a_declared_size(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """An input with a number where N belongs is refused by its name."""
    refusal = refused(shapes.check, evidence, Subject("fp32", broken.declared(graph, "features", 7)))

    assert refusal.gate_name == "shapes"
    assert "'features'" in refusal.sentence


def test_shapes_refuses_a_baked_batch_size(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """A size hidden inside the graph is found by running other sizes."""
    refusal = refused(shapes.check, evidence, Subject("fp32", broken.baked(graph, candidates=1)))

    assert refusal.gate_name == "shapes"
    assert refusal.details["candidates"] == 2


def test_agreement_refuses_lost_precision(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """Scores rounded to a third of their spread tie candidates that PyTorch tells apart."""
    subject = Subject("int8", broken.rounded(graph, evidence.score_std / 3))

    refusal = refused(agreement.check, evidence, subject)

    assert refusal.gate_name == "agreement"
    assert "tau_mean" in refusal.sentence


def test_agreement_refuses_too_few_requests(evidence: Evidence, fp32: Subject) -> None:
    """999 requests are not enough, however well they agree."""
    few = dataclasses.replace(evidence, requests=evidence.requests[: agreement.REQUESTS_MIN - 1])

    assert refused(agreement.check, few, fp32).gate_name == "agreement"


def test_agreement_of_a_score_with_itself_is_perfect(evidence: Evidence) -> None:
    """The measure has no bias of its own."""
    found = agreement.measure(evidence.scores, evidence.scores)

    assert [1.0, 1.0, 1.0, 1.0] == pytest.approx(
        [found.tau_mean, found.top10_overlap_mean, found.top10_overlap_p5, found.top1_mean]
    )


def test_a_variant_that_lost_all_order_has_tau_zero(evidence: Evidence) -> None:
    """Constant scores count as no agreement, not as nothing to compare."""
    constant = [np.zeros_like(row) for row in evidence.scores]

    assert agreement.measure(evidence.scores, constant).tau_mean == 0.0


def relabelled(evidence: Evidence) -> Evidence:
    """Labels that PyTorch's own order satisfies perfectly: its best candidate is the relevant one."""
    raw = tuple(
        dataclasses.replace(request, labels=(scores == scores.max()).astype(np.float32))
        for request, scores in zip(evidence.raw, evidence.scores, strict=True)
    )
    return dataclasses.replace(evidence, raw=raw)


def test_quality_passes_an_equal_order(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """A scale leaves the order and so nDCG as it was: delta 0, whole interval at 0."""
    result, found = quality.check(evidence, Subject("int8", broken.scaled(graph, 0.5)))

    assert (result.verdict, found.delta_rel, found.ci95) == ("pass", 0.0, (0.0, 0.0))


def test_quality_refuses_a_reversed_order(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """Scores with the wrong sign lose most of nDCG@10, and the interval says so."""
    subject = Subject("int8", broken.scaled(graph, -1.0))

    refusal = refused(quality.check, relabelled(evidence), subject)

    assert refusal.gate_name == "quality"
    assert refusal.details["reference"] == 1.0


def test_quality_says_how_many_requests_would_decide(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """A loss that some requests show and others do not blocks nothing, and asks for more requests."""
    subject = Subject("int8", broken.rounded(graph, evidence.score_std / 2))

    result, found = quality.check(evidence, subject)

    assert (result.verdict, found.verdict) == ("inconclusive", "inconclusive")
    assert found.requests_needed is not None
    assert found.requests_needed > found.requests


def test_prior_quality_uses_the_order_the_requests_came_with(evidence: Evidence) -> None:
    """When the labels follow the prior, the prior's nDCG is 1."""
    raw = tuple(
        dataclasses.replace(request, labels=(request.prior_scores == np.max(request.prior_scores)) * 1.0)
        for request in evidence.raw
        if request.prior_scores is not None
    )

    assert quality.prior_quality(dataclasses.replace(evidence, raw=raw)) == 1.0


def test_batch_invariance_accepts_fp32(evidence: Evidence, fp32: Subject) -> None:
    """Float32 drifts by rounding only."""
    _, found = batch_invariance.check(evidence, fp32, compositions=300)

    assert found.relative_to_std < 1e-5


def test_batch_invariance_refuses_dynamic_int8(
    evidence: Evidence, graph: onnx.ModelProto, tmp_path: Path
) -> None:
    """One activation scale per batch makes a score depend on its batch-mates."""
    subject = Subject("int8", broken.dynamic_int8(graph, tmp_path))

    refusal = refused(batch_invariance.check, evidence, subject)
    moved = refusal.details["moved_share"]

    assert refusal.gate_name == "batch_invariance"
    assert isinstance(moved, float)
    assert moved > 0.5


def test_batch_invariance_refuses_swapped_candidates(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """A score that depends on the place in the batch is found, whatever the variant."""
    subject = Subject("fp32", broken.first_two_swapped(graph))

    assert refused(batch_invariance.check, evidence, subject).gate_name == "batch_invariance"


def test_batch_invariance_refuses_scores_that_are_not_finite(
    evidence: Evidence, graph: onnx.ModelProto
) -> None:
    """NaN drifts by neither more nor less than a threshold, and is refused."""
    subject = Subject("int8", broken.scaled(graph, float("nan")))

    assert refused(batch_invariance.check, evidence, subject).gate_name == "batch_invariance"


@pytest.mark.parametrize(
    ("ratios", "worth"),
    [
        ({"R1_N20": 0.5, "R1_N200": 1.0, "R8_N1600": 1.0}, True),
        ({"R1_N20": 2.0, "R1_N200": 0.96, "R8_N1600": 3.0}, True),
        ({"R1_N20": 2.0, "R1_N200": 0.94, "R8_N1600": 3.0}, False),
        ({"R1_N20": 2.0, "R1_N200": 3.0, "R8_N1600": 0.94}, False),
    ],
)
def test_a_variant_slower_than_fp32_is_not_worth_serving(ratios: dict[str, float], worth: bool) -> None:
    """More than 5 % slower at 200 or 1,600 candidates decides; 20 candidates do not."""
    assert worth == speed.is_worth_serving(ratios)


def test_speed_times_every_batch_shape(evidence: Evidence, fp32: Subject) -> None:
    """The gate reports a ratio for each shape, and whatever it finds does not raise."""
    result, ratios, worth = speed.check(evidence, fp32, fp32)

    assert set(ratios) == set(speed.SHAPES)
    assert all(ratio > 0 for ratio in ratios.values())
    assert worth == (result.verdict == "pass")
