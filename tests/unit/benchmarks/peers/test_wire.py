"""KServe messages written and read by hand are what protobuf makes of the published definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from benchmarks.peers.wire import Tensor, WireError, element, infer_request, raw_outputs

STRING, INT64, BYTES, MESSAGE = 9, 3, 12, 11
ONE, MANY = 1, 3


def messages() -> dict[str, Any]:
    """ModelInferRequest and ModelInferResponse, the fields that are used, numbered as published."""
    file = descriptor_pb2.FileDescriptorProto(name="kserve_part.proto", package="inference", syntax="proto3")
    for message, name in (
        ("ModelInferRequest", "InferInputTensor"),
        ("ModelInferResponse", "InferOutputTensor"),
    ):
        tensor, outer = file.message_type.add(name=name), file.message_type.add(name=message)
        tensor.field.add(name="name", number=1, type=STRING, label=ONE)
        tensor.field.add(name="datatype", number=2, type=STRING, label=ONE)
        tensor.field.add(name="shape", number=3, type=INT64, label=MANY)
        outer.field.add(name="model_name", number=1, type=STRING, label=ONE)
        outer.field.add(name="tensors", number=5, type=MESSAGE, label=MANY, type_name=f".inference.{name}")
        raw = 7 if message == "ModelInferRequest" else 6
        outer.field.add(name="raw", number=raw, type=BYTES, label=MANY)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
        for name in ("ModelInferRequest", "ModelInferResponse")
    }


def test_a_request_is_read_back_by_protobuf() -> None:
    """Names, shapes and contents arrive, lengths of more than one byte included."""
    features = np.arange(600, dtype="<f4").reshape(1, 150, 4)
    sent = infer_request("bench", [Tensor("features", "FP32", features.shape, features.tobytes())])
    read = messages()["ModelInferRequest"].FromString(sent)
    assert "bench" == read.model_name
    assert ("features", "FP32", [1, 150, 4]) == (
        read.tensors[0].name,
        read.tensors[0].datatype,
        list(read.tensors[0].shape),
    )
    assert [features.tobytes()] == list(read.raw)


def test_raw_outputs_are_found_in_what_protobuf_writes() -> None:
    """Whatever other fields there are, the contents come in order."""
    answer = messages()["ModelInferResponse"](model_name="bench", raw=[b"\1" * 300, b""])
    answer.tensors.add(name="score", datatype="FP32", shape=[1, 75])
    assert [b"\1" * 300, b""] == raw_outputs(answer.SerializeToString())


def test_an_element_has_its_length_in_front() -> None:
    """Four bytes, little-endian."""
    assert b"\3\0\0\0abc" == element(b"abc")


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"", "no raw output"),
        (b"\x0a\x05ab", "inside a field"),
        (b"\x32\xff", "inside a number"),
        (b"\x33", "wire type 3"),
    ],
)
def test_what_is_no_answer_with_scores_is_refused(answer: bytes, complaint: str) -> None:
    """Cut bytes, a group, or an answer without contents are errors, not empty scores."""
    with pytest.raises(WireError, match=complaint):
        raw_outputs(answer)
