"""The grid layout while exporting: graphs, gates, and what a spec may not claim."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from export import context_share, head_calibration
from export.codec import Codec
from export.gates import GateFailed, batch_invariance, context_once, independence, parity, shapes
from export.gates.evidence import Evidence, Subject
from export.reference import Reference
from export.spec import ExportSpec, OutputSpec, candidate, context
from export.tracing import trace
from tests.export_specs import sets

COMPOSITIONS = 200


def traced(spec: ExportSpec) -> tuple[Evidence, Subject]:
    """PyTorch's side and the graph."""
    codec = Codec(spec)
    evidence = Evidence.gather(spec, codec, Reference(spec, codec))
    return evidence, Subject("fp32", trace(spec, codec, evidence.requests[0]))


@pytest.fixture(scope="module")
def setwise() -> tuple[Evidence, Subject]:
    return traced(sets.setwise())


@pytest.fixture(scope="module")
def pointwise() -> tuple[Evidence, Subject]:
    return traced(sets.pointwise())


def refusal(gate: Callable[[Evidence, Subject], object], evidence: Evidence, subject: Subject) -> GateFailed:
    with pytest.raises(GateFailed) as refused:
        gate(evidence, subject)
    return refused.value


def test_the_graph_takes_a_grid_of_any_size(pointwise: tuple[Evidence, Subject]) -> None:
    """R and C stay symbols, next to the flat candidates."""
    _, subject = pointwise
    found = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*subject.model.graph.input, *subject.model.graph.output)
    }
    assert {
        "user": ["R", sets.USER],
        "features": ["N", sets.FEATURES],
        "row_to_context": ["N"],
        "grid_index": ["R", "C"],
        "grid_position": ["N"],
        "score": ["N"],
    } == found


@pytest.mark.parametrize("kind", ["setwise", "pointwise"])
def test_sound_rankers_pass(kind: str, request: pytest.FixtureRequest) -> None:
    """Parity, context once, every shape with empty slots among them, and any batch."""
    evidence, subject = request.getfixturevalue(kind)
    assert "pass" == parity.check(evidence, subject).verdict
    assert "pass" == context_once.check(evidence, subject).verdict
    assert len(shapes.SIZES) + len(shapes.GRIDS) == shapes.check(evidence, subject).numbers["shapes"]
    assert "pass" == batch_invariance.check(evidence, subject, COMPOSITIONS)[0].verdict


def test_a_pointwise_ranker_is_asked_for_independence_and_a_setwise_one_is_not(
    pointwise: tuple[Evidence, Subject], setwise: tuple[Evidence, Subject]
) -> None:
    """Nothing is promised of the latter."""
    result = independence.check(*pointwise)
    assert result is not None
    assert "pass" == result.verdict
    assert independence.check(*setwise) is None


def test_a_setwise_ranker_that_calls_itself_pointwise_is_refused(setwise: tuple[Evidence, Subject]) -> None:
    """Scored one by one its candidates get other scores: it could not be split or cached."""
    evidence, subject = setwise
    lying = dataclasses.replace(evidence, spec=dataclasses.replace(evidence.spec, kind="pointwise"))
    refused = refusal(independence.check, lying, subject)
    assert "independence" == refused.gate_name
    assert "candidates see one another" in refused.sentence
    assert "batch_invariance" == refusal(batch_invariance.check, lying, subject).gate_name


def test_a_set_without_a_mask_is_refused() -> None:
    """Empty slots then count as candidates, maybe another request's: alone all is well, in a batch not."""
    evidence, subject = traced(sets.setwise(masked=False))
    assert "pass" == parity.check(evidence, subject).verdict
    assert "batch_invariance" == refusal(batch_invariance.check, evidence, subject).gate_name
    assert "shapes" == refusal(shapes.check, evidence, subject).gate_name


def test_a_context_that_is_tiled_in_the_grid_is_refused() -> None:
    """A layer over gathered states runs once per candidate."""
    evidence, subject = traced(sets.pointwise(tiled=True))
    assert "pass" == parity.check(evidence, subject).verdict
    assert "context_once" == refusal(context_once.check, evidence, subject).gate_name


def test_the_context_side_of_a_grid_is_found(pointwise: tuple[Evidence, Subject]) -> None:
    """All that depends on the user alone, and nothing else: its share of a run is known."""
    evidence, subject = pointwise
    part = context_share.context_side(subject.model, evidence.codec.context_names)
    assert part is not None
    assert ["user"] == [entry.name for entry in part.graph.input]
    assert 0.0 < context_share.measure(evidence, subject) < 1.0


def test_a_head_of_a_grid_can_become_a_probability() -> None:
    """Activation wraps a score that takes the grid as well; the graph gives what PyTorch gives."""
    spec = dataclasses.replace(sets.pointwise(), outputs={"score": OutputSpec(activation="sigmoid")})
    evidence, subject = traced(head_calibration.finished(spec, {}))
    assert all(0.0 <= scores.min() and scores.max() <= 1.0 for scores in evidence.scores)
    assert "pass" == parity.check(evidence, subject).verdict


def test_a_setwise_ranker_needs_the_grid() -> None:
    """Flat, its candidates could not meet."""
    with pytest.raises(ValueError, match='needs layout="grid"'):
        dataclasses.replace(sets.setwise(), layout="flat")


def test_a_setwise_ranker_cannot_leave_a_candidate_unscored() -> None:
    """The others have seen it."""
    inputs = [
        context("user", "float32", sets.USER),
        candidate("features", "float32", sets.FEATURES, non_finite="invalid_candidate"),
    ]
    with pytest.raises(ValueError, match="'features': non_finite='invalid_candidate'"):
        dataclasses.replace(sets.setwise(), inputs=inputs)


def test_a_setwise_ranker_without_a_context_is_exported() -> None:
    """Then the grid alone says which candidates belong together."""
    ranker = sets.SetRanker()

    def score(_: object, grid: object, features: object) -> object:
        own = ranker.item(features)
        others = grid.spread(own)
        weight = grid.mask.float()[:, None, :] / grid.mask.float().sum(1)[:, None, None]
        return {"score": (own * grid.collect(weight.matmul(others).expand_as(others))).sum(1)}

    spec = dataclasses.replace(
        sets.setwise(),
        context=dict,
        score=score,
        inputs=[candidate("features", "float32", sets.FEATURES)],
        requests=[dataclasses.replace(one, context={}) for one in sets.requests(30, seed=4)],
        calibration=[dataclasses.replace(one, context={}) for one in sets.requests(9, seed=5)],
    )
    evidence, subject = traced(spec)
    assert "pass" == parity.check(evidence, subject).verdict
    assert "pass" == shapes.check(evidence, subject).verdict
    assert "pass" == batch_invariance.check(evidence, subject, COMPOSITIONS)[0].verdict
    assert np.isfinite(evidence.score_std)
