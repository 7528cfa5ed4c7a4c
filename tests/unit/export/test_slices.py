"""Slices: who belongs where, and that a loss hidden in the mean is found in its slice."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import helper

from export.gates import GateFailed, slices
from export.gates.evidence import Evidence, Subject
from export.slices import NAMED, NAMED_MAX, slices_of
from export.spec import ExampleRequest, ExportSpec
from tests.unit.export import broken


def names(spec: ExportSpec, requests: list[ExampleRequest]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for one in slices_of(spec, requests):
        found.setdefault(one.dimension, {})[one.name] = len(one.rows)
    return found


def test_every_dimension_splits_all_requests(spec: ExportSpec) -> None:
    """Each request is in exactly one slice by each size; empty histories are apart."""
    requests = [*spec.requests, *spec.unlabelled]
    found = names(spec, requests)

    for dimension in ("candidates", "length of history", "length of query"):
        assert len(requests) == sum(found[dimension].values()), dimension
    empty = sum(len(request.context["history"]) == 0 for request in requests)
    assert empty == found["length of history"]["0"]
    assert "0" not in found["length of query"]


def test_alike_requests_have_no_slice(spec: ExportSpec) -> None:
    """A dimension that does not tell requests apart says nothing."""
    assert {} == names(spec, [spec.requests[0]] * 5)


def test_head_and_tail_are_told_by_calibration(spec: ExportSpec) -> None:
    """What is relevant decides, and how often calibration has it; unlabelled requests are in neither."""
    one = spec.requests[0]
    often, rare = np.int64(10), np.int64(17)

    def request(wanted: np.int64) -> ExampleRequest:
        candidates = {**one.candidates, "item": np.full(one.count, wanted)}
        return dataclasses.replace(one, candidates=candidates, labels=np.ones(one.count, np.float32))

    history = {**one.context, "history": np.zeros(0, np.int64)}
    calibration = [dataclasses.replace(request(often), context=history) for _ in range(9)]
    calibration.append(dataclasses.replace(request(rare), context=history))
    judged = dataclasses.replace(spec, calibration=calibration)
    asked = [request(often), request(rare), request(rare), dataclasses.replace(one, labels=None)]

    assert {"head": 1, "tail": 2} == names(judged, asked)["wanted item"]


def test_names_of_the_author_may_overlap(spec: ExportSpec) -> None:
    """A request is in every slice that it names, once."""
    one = spec.requests[0]
    asked = [dataclasses.replace(one, slices=named) for named in (["a"], ["a", "b", "a"], [])]

    assert {"a": 2, "b": 1} == names(spec, asked)[NAMED]


def test_too_many_names_are_refused(spec: ExportSpec) -> None:
    """A name per request is no slice."""
    asked = [dataclasses.replace(spec.requests[0], slices=[str(at)]) for at in range(NAMED_MAX + 1)]

    with pytest.raises(ValueError, match=r"ExampleRequest.slices has 33 different names"):
        slices_of(spec, asked)


def test_a_name_that_is_not_in_a_list_is_refused(spec: ExportSpec) -> None:
    """A string is a sequence of letters, which nobody means."""
    with pytest.raises(ValueError, match=r"\['mobile'\]"):
        dataclasses.replace(spec.requests[0], slices="mobile")


def test_fp32_passes_in_every_slice(evidence: Evidence, fp32: Subject) -> None:
    """The traced graph ranks as PyTorch does: no loss anywhere, and slices of under 30 are never a pass."""
    result, reports = slices.check(evidence, fp32)

    assert len(reports) == result.numbers["slices"] >= 9
    for one in reports:
        for found in (one.quality, one.agreement):
            if found is not None:
                assert ("pass" if found.requests >= slices.REQUESTS_MIN else "inconclusive") == found.verdict


def wrong_for_long_histories(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Scores of requests with the longest history change their sign."""
    nodes = [
        helper.make_node("Equal", ["history_length", "longest"], ["is_long"]),
        helper.make_node("Gather", ["is_long", "row_to_context"], ["wrong"]),
        helper.make_node("Neg", ["raw"], ["negative"]),
        helper.make_node("Where", ["wrong", "negative", "raw"], [broken.HEAD]),
    ]
    return broken.with_last_step(graph, nodes, {"longest": np.array(10, np.int64)})


def named_by_length(evidence: Evidence) -> Evidence:
    raw = tuple(
        dataclasses.replace(one, slices=[f"of {len(one.context['history'])}"]) for one in evidence.raw
    )
    return dataclasses.replace(evidence, raw=raw)


def test_a_loss_in_one_slice_is_refused_by_its_name(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """Every order of one group is reversed, all others are perfect: the group alone fails."""
    judged = named_by_length(evidence)
    subject = Subject("int8", wrong_for_long_histories(graph))

    with pytest.raises(GateFailed) as refusal:
        slices.check(judged, subject)
    assert "slices" == refusal.value.gate_name
    assert "named of 10" in refusal.value.sentence
    reports = slices.judge(judged, subject, slices_of(judged.spec, judged.raw))
    failed = [one for one in reports if one.dimension == NAMED and one.verdict == "fail"]
    assert ["of 10"] == [one.name for one in failed]
    assert failed[0].agreement is not None
    assert failed[0].agreement.value < -1.0


@pytest.mark.parametrize(
    ("step", "verdict"), [(0.0, "pass"), (0.4, "warning"), (1.5, "fail")], ids=["none", "some", "much"]
)
def test_how_much_is_lost_decides(
    evidence: Evidence, graph: onnx.ModelProto, step: float, verdict: str
) -> None:
    """Surely beyond the threshold warns, surely beyond four times of it fails; an equal order passes."""
    model = broken.rounded(graph, evidence.score_std * step) if step else graph
    reports = slices.judge(evidence, Subject("int8", model), slices_of(evidence.spec, evidence.raw)[:3])

    assert {verdict} == {one.agreement.verdict for one in reports if one.agreement is not None}


def test_a_small_slice_says_how_many_it_needs(evidence: Evidence, graph: onnx.ModelProto) -> None:
    """However bad it looks, under 30 requests decide nothing."""
    ordered = [at for at, one in enumerate(evidence.raw) if one.count > 1]
    chosen = ordered[: slices.REQUESTS_MIN - 1]
    raw = tuple(
        dataclasses.replace(one, slices=["few"] if at in chosen else [])
        for at, one in enumerate(evidence.raw)
    )
    judged = dataclasses.replace(evidence, raw=raw)
    few = [one for one in slices_of(judged.spec, raw) if one.dimension == NAMED]
    (report,) = slices.judge(judged, Subject("int8", broken.scaled(graph, -1.0)), few)

    assert report.agreement is not None
    assert ("inconclusive", 29, 30) == (
        report.verdict,
        report.agreement.requests,
        report.agreement.requests_needed,
    )
