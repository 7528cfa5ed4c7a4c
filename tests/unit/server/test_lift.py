"""What is lifted out of a request's bytes, put back, is the request; everything else is left alone."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from podium.v1 import ranking_pb2 as pb
from server.lift import LIFT_BYTES_MIN, lift

BYTES_MIN = 4
"""So that small examples are lifted too."""

TENSORS = st.builds(
    pb.Tensor,
    name=st.text(max_size=3),
    dtype=st.integers(0, 300),
    shape=st.lists(st.integers(-1, 1000), max_size=3),
    data=st.binary(max_size=12) | st.binary(min_size=200, max_size=300),
)
REQUESTS = st.builds(
    pb.RankRequest,
    model=st.text(max_size=3),
    version=st.integers(-1, 3),
    context=st.lists(TENSORS, max_size=2),
    candidates=st.builds(
        pb.Candidates,
        count=st.integers(0, 300),
        int_ids=st.binary(max_size=12),
        string_ids=st.lists(st.text(max_size=2), max_size=2),
        columns=st.lists(TENSORS, max_size=3),
    ),
    tenant=st.text(max_size=2),
)


def put_back(data: bytes) -> pb.RankRequest:
    """The request from its two parts.

    Raises:
        DecodeError: the library does not read the rest.
    """
    rest, lifted = lift(data, BYTES_MIN)
    message = pb.RankRequest.FromString(bytes(rest))
    for position, view in lifted.items():
        assert message.candidates.columns[position].data == b""
        message.candidates.columns[position].data = bytes(view)
    return message


@given(request=REQUESTS)
def test_the_parts_are_the_whole(request: pb.RankRequest) -> None:
    """Every large column is lifted, and nothing is lost or changed."""
    data = request.SerializeToString()
    assert request == put_back(data)
    large = {at for at, column in enumerate(request.candidates.columns) if len(column.data) >= BYTES_MIN}
    assert large == lift(data, BYTES_MIN).data.keys()


@given(request=REQUESTS, cuts=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=3))
@example(pb.RankRequest(candidates=pb.Candidates(columns=[pb.Tensor(data=bytes(9))])), [(4, b"\xff")])
def test_damaged_bytes_mean_what_the_library_reads(
    request: pb.RankRequest, cuts: list[tuple[int, bytes]]
) -> None:
    """With bytes cut out or overwritten the two parts are read as the whole is, or refused as it is."""
    data = request.SerializeToString()
    for at, piece in cuts:
        data = data[:at] + piece + data[at + max(len(piece), 1) :]
    try:
        expected = pb.RankRequest.FromString(data)
    except DecodeError:
        expected = None
    try:
        found = put_back(data)
    except DecodeError:
        found = None
    assert expected == found


def test_a_message_written_twice_over_is_the_library_s() -> None:
    """Protobuf merges fields that are given twice: such a request is left alone, and so are small ones."""
    once = pb.RankRequest(candidates=pb.Candidates(columns=[pb.Tensor(data=bytes(100))])).SerializeToString()
    assert lift(once, BYTES_MIN).data
    assert not lift(once + once, BYTES_MIN).data
    assert not lift(once).data
    assert len(once) < LIFT_BYTES_MIN
