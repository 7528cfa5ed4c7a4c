"""Tracing: symbolic sizes, the spec's names, and nothing of the author's disk in the file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from export.codec import Codec
from export.gates import context_once, parity, shapes
from export.gates.evidence import Evidence, Subject
from export.modules import owned_modules
from export.reference import Reference
from export.spec import ExampleRequest, ExportSpec, candidate
from export.tracing import ExportFailed, strip, trace
from tests.export_specs import tiny


def test_the_graph_has_the_specs_names_and_symbols(graph: onnx.ModelProto) -> None:
    """Inputs in manifest order with R or N in front and ragged axes at their maximum; one output per head."""
    found = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.graph.input, *graph.graph.output)
    }

    assert found == {
        "history": ["R", tiny.HISTORY_MAX],
        "history_length": ["R"],
        "query": ["R", tiny.QUERY_MAX, 4],
        "query_length": ["R"],
        "item": ["N"],
        "features": ["N", 3],
        "prior": ["N"],
        "row_to_context": ["N"],
        "watch": ["N"],
    }


def test_no_path_or_code_line_is_left_in_the_file(graph: onnx.ModelProto) -> None:
    """The exporter's stack traces name source files; a published graph names none."""
    data = graph.SerializeToString()

    assert b".py" not in data
    assert str(Path.cwd()).encode() not in data
    assert not graph.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in graph.graph.node)


def test_strip_reaches_subgraphs_and_functions(graph: onnx.ModelProto) -> None:
    """Metadata inside an If's branch and inside a local function goes too."""
    leak = "/home/someone/model.py"
    model = onnx.ModelProto()
    branch = onnx.GraphProto(name="branch", doc_string=leak)
    branch.node.append(onnx.NodeProto(op_type="Identity", doc_string=leak))
    branch.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value=leak)
    model.graph.node.append(onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch))
    model.functions.add().node.add(op_type="Identity", doc_string=leak)
    model.graph.initializer.add(name="w", doc_string=leak)

    strip(model)

    assert leak.encode() not in model.SerializeToString()


def test_modules_in_closures_are_registered() -> None:
    """Plain functions around a module export its tensors by name, and put it into eval mode."""
    layer = nn.Sequential(nn.Linear(3, 1), nn.Dropout(0.5))

    def score(state: Mapping[str, Tensor], features: Tensor) -> dict[str, Tensor]:
        return {"score": layer(features).squeeze(-1)}

    spec = contextless(score)
    codec = Codec(spec)
    evidence = Evidence.gather(spec, codec, Reference(spec, codec))
    model = trace(spec, codec, evidence.requests[0])

    assert [layer] == owned_modules(spec)
    assert not layer.training
    assert {"owned.0.0.weight", "owned.0.0.bias"} <= {entry.name for entry in model.graph.initializer}


def test_a_model_without_context_has_nothing_to_gather() -> None:
    """`context` returning {} exports, takes no row_to_context, and passes the structural gates."""
    layer = nn.Linear(3, 1)

    def score(state: Mapping[str, Tensor], features: Tensor) -> dict[str, Tensor]:
        return {"score": layer(features).squeeze(-1)}

    spec = contextless(score)
    codec = Codec(spec)
    evidence = Evidence.gather(spec, codec, Reference(spec, codec))
    subject = Subject("fp32", trace(spec, codec, evidence.requests[0]))

    assert ["features"] == [entry.name for entry in subject.model.graph.input]
    for gate in (parity, context_once, shapes):
        assert gate.check(evidence, subject).verdict == "pass"


@pytest.mark.parametrize("needs", ["values", "sizes"])
def test_a_model_that_cannot_be_traced_stops_the_export(needs: str) -> None:
    """A branch on values, and code for one number of candidates only, are refused in one sentence."""

    def score(state: Mapping[str, Tensor], features: Tensor) -> dict[str, Tensor]:
        total = features.sum(dim=1)
        if needs == "values":
            return {"score": total if float(total.sum()) > 0 else -total}
        return {"score": total + torch.zeros(5 if features.shape[0] == 5 else 7)}

    spec = contextless(score)
    codec = Codec(spec)

    with pytest.raises(ExportFailed) as error:
        trace(spec, codec, codec.encode(spec.requests[0]))

    assert str(error.value).startswith("PyTorch could not trace the model: ")
    assert "\n" not in str(error.value)


def test_the_reference_refuses_other_heads(spec: ExportSpec, codec: Codec) -> None:
    """A score function that returns heads the spec does not list is named before anything is traced."""
    two = dataclasses.replace(spec, heads={"watch": 1.0, "like": 0.5})

    with pytest.raises(ValueError) as error:
        Reference(two, codec).heads(codec.encode(spec.requests[0]))

    assert "like" in str(error.value)


def contextless(score: object) -> ExportSpec:
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    made = [
        ExampleRequest(context={}, candidates={"features": rng.normal(size=(5, 3)).astype(np.float32)})
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
