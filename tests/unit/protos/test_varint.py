"""Hand-made varints: protobuf reads back what went in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.v1 import ranking_pb2 as pb
from protos.varint import packed, read_varint, varint

ORDER_TAG = b"\x32"
"""RankResponse.order: field 6, a length and so many bytes."""


@given(number=st.integers(0, 2**64 - 1) | st.integers(0, 300))
def test_a_varint_is_what_protobuf_writes(number: int) -> None:
    """The shortest form, as in the library's own bytes of a field 1."""
    assert pb.StreamRequest(id=number).SerializeToString()[1:] == (varint(number) if number else b"")


@given(before=st.binary(max_size=3), number=st.integers(0, 2**64 - 1), after=st.binary(max_size=3))
def test_a_varint_is_read_where_it_stands(before: bytes, number: int, after: bytes) -> None:
    """The number, and where the next field begins."""
    data = before + varint(number) + after
    assert (number, len(data) - len(after)) == read_varint(data, len(before))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9 + b"\x02", b"\xff" * 10 + b"\x01"])
def test_what_is_no_varint_is_not_read(data: bytes) -> None:
    """Cut off, beyond 64 bits, or longer than ten bytes."""
    with pytest.raises(ValueError, match="no varint"):
        read_varint(data, 0)


def test_a_negative_number_is_refused() -> None:
    """There is no unsigned varint of it."""
    with pytest.raises(ValueError, match="-1 is negative"):
        varint(-1)


@given(
    numbers=st.lists(st.integers(0, 2**32 - 1), max_size=20)
    | st.lists(st.integers(0, 20_000), max_size=20)
    | st.lists(st.integers(0, 200), max_size=20),
    room=st.sampled_from([0, 1, 100, 2**21]),
)
def test_packed_numbers_are_read_back(numbers: list[int], room: int) -> None:
    """Whatever the width that the bound asks for; the bound need not be tight."""
    below = min(max(numbers, default=0) + 1 + room, 2**32)
    data = packed(np.array(numbers, np.int64), below)
    message = pb.RankResponse.FromString(ORDER_TAG + varint(len(data)) + data)
    assert numbers == list(message.order)


@pytest.mark.parametrize("below", [1, 127, 128, 129, 16_384, 16_385])
def test_every_number_up_to_the_bound_fits(below: int) -> None:
    """The borders between widths, both ends of the range."""
    data = packed(np.array([below - 1, 0]), below)
    assert [below - 1, 0] == list(pb.RankResponse.FromString(ORDER_TAG + varint(len(data)) + data).order)
