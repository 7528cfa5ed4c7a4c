"""The walk over ONNX's bytes: it reads what protobuf reads, and refuses what protobuf would let pass."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from server.first_sight.onnx_wire import MESSAGES, Damaged, Walk

MESSAGE_OF = {
    "Model": onnx.ModelProto,
    "OperatorSet": onnx.OperatorSetIdProto,
    "Entry": onnx.StringStringEntryProto,
    "Graph": onnx.GraphProto,
    "Node": onnx.NodeProto,
    "Attribute": onnx.AttributeProto,
    "Tensor": onnx.TensorProto,
    "Value": onnx.ValueInfoProto,
    "Type": onnx.TypeProto,
    "TensorType": onnx.TypeProto.Tensor,
    "Shape": onnx.TensorShapeProto,
    "Dimension": onnx.TensorShapeProto.Dimension,
}
FIELDS_MAX = 100


@pytest.mark.parametrize("kind", MESSAGES)
def test_the_table_is_onnx_own(kind: str) -> None:
    """Every field has the number and name that the onnx package gives it; none is missing."""
    theirs = {(field.number, field.name) for field in MESSAGE_OF[kind].DESCRIPTOR.fields}
    assert theirs == {(number, field.name) for number, field in MESSAGES[kind].items()}


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_may_come_often_is_onnx_own(kind: str) -> None:
    """A field is repeated here where it is there."""
    theirs = {field.name for field in MESSAGE_OF[kind].DESCRIPTOR.fields if field.is_repeated}
    assert theirs == {field.name for field in MESSAGES[kind].values() if field.many}


def test_a_tensor_is_read_as_protobuf_reads_it() -> None:
    """Dimensions (negative ones, too), type, name, and numbers counted without being unpacked."""
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [3, 2], [0.5] * 6)
    tensor.dims.append(-1)
    tensor.int64_data.extend([1, 300, -1])
    read = Walk().read(memoryview(tensor.SerializeToString()), "Tensor")
    assert ("t", 1, [3, 2, -1]) == (read.text("name"), read.number("data_type"), read.numbers("dims", 8))
    assert (6, 3, 0) == (read.count("float_data"), read.count("int64_data"), read.count("double_data"))
    assert 2 == len(read.numbers("dims", 1)), "one more than asked for, so that too many can be told"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x08\x01\x08\x02", "its Model.ir_version is given twice"),
        (b"\x0a\x01x", "its Model.ir_version has another wire type"),
        (b"\xa2\x06\x00", "it has a field 100 of Model that ONNX does not have"),
        (b"\x12\xff\xff\xff\xff\x07x", "it is cut off"),
        (b"\x08", "its bytes are no protobuf message"),
        (b"\x00\x00", "its bytes are no protobuf message"),
        (b"\x0b", "its bytes are no protobuf message"),
        (b"\xff" * 11, "its bytes are no protobuf message"),
        (b"\x42\x00" * (FIELDS_MAX + 1), f"it has more than {FIELDS_MAX} fields"),
    ],
    ids=["twice", "wire-type", "unknown", "long", "no-value", "number-0", "group", "varint", "many"],
)
def test_what_protobuf_would_let_pass_is_refused(data: bytes, words: str) -> None:
    """Unknown fields, repetitions and false lengths are faults, and end in the end of a sentence."""
    with pytest.raises(Damaged) as caught:
        Walk(FIELDS_MAX).read(memoryview(data), "Model")
    assert words == str(caught.value)
