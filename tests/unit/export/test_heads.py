"""Heads with an activation and a calibration: in the graph, in the manifest, in the report, and judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.codec import Codec
from export.gates import GateFailed, calibration, heads
from export.gates.evidence import Evidence, Subject
from export.head_calibration import finished, fit
from export.head_report import heads_of
from export.modules import owned_modules
from export.pipeline import export
from export.platt import Curve
from export.reference import Reference
from export.report import Report
from export.spec import ExampleRequest, ExportSpec, OutputSpec
from export.tracing import trace
from protos import manifest as manifests
from tests.export_specs import three_heads, tiny


@pytest.fixture(scope="module")
def spec() -> ExportSpec:
    return three_heads.spec()


@pytest.fixture(scope="module")
def report(spec: ExportSpec, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return export(spec, tmp_path_factory.mktemp("models"), source="x:y")


@pytest.fixture(scope="module")
def manifest(report: Report) -> manifests.Manifest:
    return manifests.decode((Path(report.path) / manifests.MANIFEST_FILE).read_bytes())


def test_calibration_finds_the_curve_that_labels_were_drawn_with(manifest: manifests.Manifest) -> None:
    """Slope and intercept of both heads, from labels of which every tenth is unknown; the third has none."""
    click, like, dwell = manifest.outputs
    for output in (click, like):
        found = output.calibration
        assert found is not None
        assert three_heads.SLOPES[output.head] == pytest.approx(found.slope, rel=0.25)
        assert three_heads.INTERCEPTS[output.head] == pytest.approx(found.intercept, abs=0.25)
        assert found.error_after < 0.03 < found.error_before
        assert "sigmoid" == output.activation
        assert 0.95 * three_heads.CALIBRATION < found.requests <= three_heads.CALIBRATION  # few know nothing
    assert ("identity", None) == (dwell.activation, dwell.calibration)
    assert "output" == manifest.combine.space


def test_the_manifest_survives_the_disk(manifest: manifests.Manifest) -> None:
    """What was written is what is read, calibration included."""
    assert manifest == manifests.decode(manifests.encode(manifest))


def test_the_report_has_a_line_per_head(report: Report) -> None:
    """AUC for every variant and PyTorch, calibration error for probabilities only, before and after."""
    click, like, dwell = report.heads
    assert ("request", "request") == (click.auc_of, like.auc_of)
    assert {"pytorch", "fp32", "int8"} == set(click.auc) == set(click.calibration_error)
    assert click.auc["pytorch"] == pytest.approx(click.auc["fp32"], abs=1e-3)
    assert like.auc["pytorch"] > 0.6
    for head in (click, like):
        assert head.calibration_error_before is not None
        assert max(head.calibration_error.values()) < head.calibration_error_before
        assert head.positives is not None
        assert 0.1 < head.positives < 0.9
    assert (0, {}, {}, None) == (dwell.requests, dwell.auc, dwell.calibration_error, dwell.positives)
    page = (Path(report.path) / "report.html").read_text()
    assert "<h2>Heads</h2>" in page
    assert f"{click.calibration_error_before:.4f}" in page


def test_every_gate_has_judged_the_heads(report: Report) -> None:
    """One calibration result per calibrated head, one result for all heads per variant."""
    found = [(gate.gate, gate.variant) for gate in report.gates if gate.gate in ("heads", "calibration")]
    assert [("calibration", "fp32")] * 2 + [("heads", "fp32"), ("heads", "int8")] == found
    assert "inconclusive" not in {gate.verdict for gate in report.gates if gate.gate == "heads"}


def test_the_finished_ranker_still_owns_its_modules(spec: ExportSpec) -> None:
    """Hidden by the wrapper, they would be baked in as anonymous constants and stay in train mode."""
    wrapped = finished(spec, fit(spec, Codec(spec)))
    assert wrapped.score is not spec.score
    assert [id(one) for one in owned_modules(spec)] == [id(one) for one in owned_modules(wrapped)]


def test_the_reference_is_sigmoid_of_the_calibrated_logit(spec: ExportSpec) -> None:
    """The finished head is the curve of the plain one; a head without an activation is as it was."""
    codec = Codec(spec)
    fitted = fit(spec, codec)
    request = codec.encode(spec.requests[0])
    plain = Reference(spec, codec).heads(request)
    done = Reference(finished(spec, fitted), codec).heads(request)
    for head, one in fitted.items():
        np.testing.assert_allclose(one.curve.probability(plain[head]), done[head], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(plain["dwell"], done["dwell"])


def test_a_sigmoid_without_calibration_is_a_sigmoid() -> None:
    """Nothing fitted, nothing needed: no labels, no curve."""
    full = tiny.spec()
    plain = dataclasses.replace(full, outputs={"watch": OutputSpec(activation="sigmoid")})
    codec = Codec(plain)
    assert {} == fit(plain, codec)
    request = codec.encode(plain.requests[0])
    logit = Reference(full, codec).heads(request)["watch"]
    done = Reference(finished(plain, {}), codec).heads(request)["watch"]
    np.testing.assert_allclose(Curve().probability(logit), done, rtol=1e-6)


def test_a_single_head_is_calibrated_by_the_requests_labels(spec: ExportSpec) -> None:
    """`labels` are the only head's: nothing needs to be said twice."""

    def by_labels(request: ExampleRequest) -> ExampleRequest:
        return dataclasses.replace(request, labels=request.head_labels["click"], head_labels={})

    one = dataclasses.replace(
        spec,
        score=lambda state, features: {"click": spec.score(state, features)["click"]},
        heads={"click": 1.0},
        outputs={"click": OutputSpec(activation="sigmoid", calibrate=True)},
        requests=relabelled(spec.requests, by_labels),
        calibration=relabelled(spec.calibration, by_labels),
    )
    assert fit(spec, Codec(spec))["click"] == fit(one, Codec(one))["click"]


Change = Callable[[ExampleRequest], ExampleRequest]


def relabelled(requests: Sequence[ExampleRequest], change: Change) -> list[ExampleRequest]:
    return [change(request) for request in requests]


@pytest.mark.parametrize("field", ["calibration", "requests"])
def test_labels_that_are_missing_for_a_head_are_named(spec: ExportSpec, field: str) -> None:
    """The head, the list that lacks them, and both ways out."""

    def without_like(request: ExampleRequest) -> ExampleRequest:
        return dataclasses.replace(request, head_labels={"click": request.head_labels["click"]})

    changed = dataclasses.replace(spec, **{field: relabelled(list(getattr(spec, field)), without_like)})
    with pytest.raises(ValueError) as error:
        fit(changed, Codec(changed))
    said = str(error.value)
    assert f"no request of ExportSpec.{field} has head_labels['like']" in said
    assert "leave calibrate out of ExportSpec.outputs['like']" in said


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            {"clik": np.ones(2)},
            "ExportSpec.calibration[0].head_labels names head 'clik'; ExportSpec.heads has",
        ),
        ({"click": np.ones(1)}, "ExportSpec.calibration[0].head_labels['click'] has shape [1]"),
        ({"click": None}, "a value other than 0, 1 and NaN"),
    ],
)
def test_labels_that_cannot_be_are_named(
    spec: ExportSpec, labels: dict[str, np.ndarray | None], said: str
) -> None:
    """Another head, another length, no yes or no: with their place in the spec."""
    first, *others = spec.calibration
    filled = {head: np.full(first.count, 0.5) if one is None else one for head, one in labels.items()}
    changed = dataclasses.replace(spec, calibration=[dataclasses.replace(first, head_labels=filled), *others])
    with pytest.raises(ValueError) as error:
        fit(changed, Codec(changed))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda one: dataclasses.replace(one, candidates={"features": np.zeros((5, 2), np.float32)}),
            "(5, 2), the spec says (N, 6)",
        ),
        (
            lambda one: dataclasses.replace(one, context={"user": np.zeros((1, 4), np.float32)}),
            "(1, 4), the graph takes (4,)",
        ),
        (lambda one: dataclasses.replace(one, labels=np.zeros(1)), ".labels has shape [1]"),
        (lambda one: dataclasses.replace(one, prior_scores=np.zeros(99)), ".prior_scores has shape [99]"),
    ],
)
@pytest.mark.parametrize("field", ["calibration", "requests", "unlabelled"])
def test_a_request_of_the_wrong_shape_is_named_by_its_place(
    spec: ExportSpec, tmp_path: Path, field: str, change: Change, said: str
) -> None:
    """The list and the number of the request, what it has and what it should have."""
    requests = list(getattr(spec, field))
    requests[2] = change(dataclasses.replace(requests[2], head_labels={}))
    with pytest.raises(ValueError) as error:
        export(dataclasses.replace(spec, **{field: requests}), tmp_path, source="x:y")
    assert str(error.value).startswith(f"ExportSpec.{field}[2]")
    assert said in str(error.value)


def test_an_output_of_no_head_and_a_calibration_of_no_probability_are_refused(spec: ExportSpec) -> None:
    """Found when the spec is made."""
    with pytest.raises(ValueError, match="'share'"):
        dataclasses.replace(spec, outputs={"share": OutputSpec()})
    with pytest.raises(ValueError, match="sigmoid"):
        OutputSpec(calibrate=True)


def test_a_head_of_weight_0_that_orders_otherwise_is_refused(spec: ExportSpec) -> None:
    """The sum is the same to the bit, and a caller could still ask for that head: gate `heads`."""
    codec = Codec(spec)
    evidence = Evidence.gather(spec, codec, Reference(spec, codec))
    graph = trace(spec, codec, evidence.requests[0])
    assert heads.check(evidence, Subject("fp32", graph)) is not None
    producer = next(node for node in graph.graph.node if "dwell" in node.output)
    producer.output[list(producer.output).index("dwell")] = "plain dwell"
    graph.graph.node.append(onnx.helper.make_node("Neg", ["plain dwell"], ["dwell"]))
    with pytest.raises(GateFailed) as refusal:
        heads.check(evidence, Subject("fp32", graph))
    assert "heads" == refusal.value.gate_name
    assert "dwell has tau -" in refusal.value.sentence


def test_a_ranker_with_one_plain_head_says_nothing_more() -> None:
    """No gate, no line: agreement and quality say it all."""
    full = tiny.spec()
    codec = Codec(full)
    few = dataclasses.replace(full, requests=full.requests[:3], unlabelled=())
    evidence = Evidence.gather(few, codec, Reference(few, codec))
    assert heads.check(evidence, Subject("fp32", onnx.ModelProto())) is None
    assert [] == heads_of(evidence, [], {})
    assert [] == calibration.check({})
