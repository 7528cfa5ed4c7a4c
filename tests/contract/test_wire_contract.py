"""The generated code is what the .proto text says, and the text is the agreed one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from podium.v1 import ranking_pb2 as pb
from tests.contract.proto_text import Declarations, read
from tests.contract.source_tree import REPOSITORY

CONTRACT = REPOSITORY / "protos" / "podium" / "v1" / "ranking.proto"
AGREED = REPOSITORY.parent / "shared" / "interfaces" / "ranking.proto"
GENERATED = ("ranking_pb2.py", "ranking_pb2.pyi", "ranking_pb2_grpc.py")
GENCODE = "6.31.1"
"""The oldest supported generator: what it writes, protobuf 6 and 7 both import."""
SCALARS = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def short(full_name: str) -> str:
    return full_name.removeprefix("podium.v1.")


def type_of(field: FieldDescriptor) -> str:
    """A field's type as the text writes it: relative to the package, nested enums by their own name."""
    if field.message_type is not None:
        return short(field.message_type.full_name)
    if field.enum_type is not None:
        return str(field.enum_type.name)
    return str(SCALARS[field.type])


def described() -> Declarations:
    """What the generated module's descriptor declares, in the form of the text reader."""
    file = pb.DESCRIPTOR
    found = Declarations(package=file.package)
    for enum in file.enum_types_by_name.values():
        _enum(enum, found)
    for message in file.message_types_by_name.values():
        _message(message, found)
    for method in file.services_by_name["Ranker"].methods:
        stream_in, stream_out = ("stream " * on for on in (method.client_streaming, method.server_streaming))
        found.methods[method.name] = (
            stream_in + short(method.input_type.full_name),
            stream_out + short(method.output_type.full_name),
        )
    return found


def _enum(enum: EnumDescriptor, found: Declarations) -> None:
    for value in enum.values:
        found.values[f"{short(enum.full_name)}.{value.name}"] = value.number


def _message(message: Descriptor, found: Declarations) -> None:
    for enum in message.enum_types:
        _enum(enum, found)
    for nested in message.nested_types:
        if not nested.GetOptions().map_entry:
            _message(nested, found)
    for field in message.fields:
        label, kind = "repeated" if field.is_repeated else "", type_of(field)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entry = field.message_type.fields_by_name
            label, kind = "map", f"{type_of(entry['key'])},{type_of(entry['value'])}"
        elif field.containing_oneof is not None:
            label = f"oneof {field.containing_oneof.name}"
        found.fields[f"{short(message.full_name)}.{field.name}"] = (field.number, label, kind)


def test_generated_code_says_what_the_text_says() -> None:
    """Fields, numbers, labels, types, enum values and methods: those of the text, and no others."""
    assert read(CONTRACT.read_text()) == described()


def test_the_text_reader_refuses_what_it_does_not_know() -> None:
    """An unread construct is an error, never a silently equal nothing."""
    with pytest.raises(ValueError, match="unknown declaration 'extend'"):
        read('syntax = "proto3"; extend Foo {}')
    assert {"A.b": (3, "map", "string,float")} == read("message A { map<string, float> b = 3; }").fields


def test_generated_by_the_oldest_supported_generator() -> None:
    """Users on protobuf 6 can import the stubs: a newer generator's code would refuse their runtime."""
    assert f"# Protobuf Python Version: {GENCODE}\n" in (REPOSITORY / "podium/v1/ranking_pb2.py").read_text()


@pytest.mark.skipif(not AGREED.exists(), reason="the agreed contract is kept outside the repository")
def test_the_contract_is_the_agreed_one() -> None:
    """protos/podium/v1/ranking.proto is the published contract, byte for byte."""
    assert AGREED.read_bytes() == CONTRACT.read_bytes()


@pytest.mark.system
def test_stubs_are_fresh(tmp_path: Path) -> None:
    """`make protos` would change nothing: the pinned generator writes the committed files, byte for byte."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pins = ["grpcio-tools==1.75.1", "googleapis-common-protos>=1.66"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *pins], check=True)
    subprocess.run([python, REPOSITORY / "protos" / "generate.py", tmp_path], check=True)
    for name in GENERATED:
        expected = (tmp_path / "podium" / "v1" / name).read_text()
        assert expected == (REPOSITORY / "podium" / "v1" / name).read_text(), name
