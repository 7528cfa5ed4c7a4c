"""float16 inputs: half the bytes on the wire, the same computing in float32, and PyTorch to judge it by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from export.codec import Codec
from export.reference import Reference
from export.request_set import message_of
from export.runtime import Runner
from export.spec import ExampleRequest, ExportSpec, candidate, context
from export.tracing import trace
from podium.v1 import ranking_pb2 as pb

WIDTH = 40


def halves_spec() -> ExportSpec:
    """A ranker whose functions feed their inputs straight into layers, which take float32 only."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    ask, item = nn.Linear(4, 8), nn.Linear(WIDTH, 8)

    def encode(query: Tensor) -> dict[str, Tensor]:
        return {"query": ask(query)}

    def score(state: Mapping[str, Tensor], features: Tensor) -> dict[str, Tensor]:
        return {"score": (item(features) * state["query"]).sum(1)}

    made = [
        ExampleRequest(
            context={"query": rng.normal(size=4)}, candidates={"features": rng.normal(size=(rows, WIDTH))}
        )
        for rows in (1, 5, 9)
    ]
    return ExportSpec(
        name="halves",
        context=encode,
        score=score,
        inputs=[context("query", "float16", 4), candidate("features", "float16", WIDTH)],
        requests=made,
        calibration=made,
    )


@pytest.fixture(scope="module")
def halves() -> ExportSpec:
    return halves_spec()


@pytest.fixture(scope="module")
def halves_graph(halves: ExportSpec) -> onnx.ModelProto:
    codec = Codec(halves)
    return trace(halves, codec, codec.encode(halves.requests[1]))


def test_the_graph_takes_float16_and_casts_it(halves_graph: onnx.ModelProto) -> None:
    """The inputs are float16; every other tensor of the graph is what it would be with float32 inputs."""
    inputs = {entry.name: entry.type.tensor_type.elem_type for entry in halves_graph.graph.input}
    half = onnx.TensorProto.FLOAT16
    assert (half, half) == (inputs["query"], inputs["features"])
    readers = [node.op_type for node in halves_graph.graph.node if {"query", "features"} & set(node.input)]
    assert ["Cast", "Cast"] == readers
    assert half not in {value.type.tensor_type.elem_type for value in halves_graph.graph.value_info}


def test_the_graph_scores_as_pytorch_does_on_the_same_float16(
    halves: ExportSpec, halves_graph: onnx.ModelProto
) -> None:
    """Parity is judged after the rounding that the caller does, not before it."""
    codec = Codec(halves)
    for request in map(codec.encode, halves.requests):
        assert request.candidates["features"].dtype == np.float16
        expected = Reference(halves, codec).heads(request)["score"]
        got = Runner(halves_graph).heads(codec, [request])["score"]
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_the_request_set_is_sent_as_float16(halves: ExportSpec) -> None:
    """Two bytes a number on the wire, the same that the gates saw."""
    message = pb.RankRequest.FromString(message_of(halves, halves.requests[1], ""))
    column, tensor = message.candidates.columns[0], message.context[0]
    assert (pb.DTYPE_FLOAT16, pb.DTYPE_FLOAT16) == (column.dtype, tensor.dtype)
    expected = Codec(halves).encode(halves.requests[1]).candidates["features"]
    assert expected.tobytes() == column.data


def test_a_number_that_float16_cannot_hold_is_named(halves: ExportSpec) -> None:
    """70,000 becomes infinity; that is the author's to know at export, not the callers' at night."""
    features = np.zeros((2, WIDTH))
    features[1, 3] = 70_000.0
    request = dataclasses.replace(halves.requests[0], candidates={"features": features})
    with pytest.raises(ValueError, match="input 'features': a request has a value too large for float16"):
        Codec(halves).encode(request)


@pytest.mark.parametrize("policy", ["allow", "invalid_request"])
def test_an_infinity_of_the_request_itself_is_another_matter(halves: ExportSpec, policy: str) -> None:
    """What is not finite before it is rounded is a matter of the input's policy."""
    entry = candidate("features", "float16", WIDTH, non_finite=policy)  # type: ignore[arg-type]
    codec = Codec(dataclasses.replace(halves, inputs=[halves.inputs[0], entry]))
    features = np.full((1, WIDTH), np.inf)
    request = dataclasses.replace(halves.requests[0], candidates={"features": features})
    if policy == "allow":
        assert np.isinf(codec.encode(request).candidates["features"]).all()
    else:
        with pytest.raises(ValueError, match="not finite"):
            codec.encode(request)
