"""The request set's files: what was written is read, and damage is named."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from google.protobuf.internal.encoder import _VarintBytes
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.request_set import read_labels, read_messages, write_labels, write_messages


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=400)))
def test_messages_come_back(messages: list[bytes]) -> None:
    """Any bytes, empty messages and lengths over one varint byte included, in order."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "eval.podium"
        assert len(messages) == write_messages(path, messages)
        assert messages == read_messages(path)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 300_000])
def test_the_framing_is_protobufs_own(tmp_path: Path, size: int) -> None:
    """Other languages read the file with parseDelimitedFrom: the length is protobuf's varint."""
    path = tmp_path / "eval.podium"
    write_messages(path, [b"x" * size])
    assert _VarintBytes(size) + b"x" * size == path.read_bytes()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\x05abc", "message 0 is truncated"),
        (b"\x01a\x02b", "message 1 is truncated"),
        (b"\x80", "length is truncated at byte 1"),
        (b"\xff" * 11, "length is truncated at byte 10"),
        (b"\xff\xff\xff\xff\x0f" + b"x" * 64, "message 0 is truncated"),
    ],
)
def test_damage_is_named(tmp_path: Path, data: bytes, complaint: str) -> None:
    """A cut file, an endless varint, an absurd length: refused with the file and the place."""
    path = tmp_path / "eval.podium"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=complaint) as refused:
        read_messages(path)
    assert path.name in str(refused.value)


@pytest.mark.parametrize("sizes", [[], [1], [3, 0, 5]])
def test_labels_come_back(tmp_path: Path, sizes: list[int]) -> None:
    """One float32 array per request, empty ones included."""
    labels = [np.arange(size, dtype=np.float32) + n for n, size in enumerate(sizes)]
    path = tmp_path / "labels.npz"
    write_labels(path, labels)
    found = read_labels(path)
    assert len(labels) == len(found)
    for expected, actual in zip(labels, found, strict=True):
        assert np.float32 == actual.dtype
        np.testing.assert_array_equal(expected, actual)
