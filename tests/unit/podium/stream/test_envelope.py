"""The stream's messages: written as the contract's classes write them, read as Podium means them."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from podium.client import RankRefused
from podium.client.stream import envelope
from podium.client.stream.envelope import Answer, Notice
from podium.v1 import ranking_pb2 as pb
from server import status
from server.errors import Kind, Reason, Refusal

IDS = st.integers(1, (1 << 64) - 1)


@given(IDS, st.binary(max_size=300))
def test_a_request_is_written_as_the_contract_s_class_writes_it(number: int, data: bytes) -> None:
    """Byte for byte, for every id and size; so any server reads it."""
    request = pb.RankRequest(query="q" * len(data), request_id="r")
    expected = pb.StreamRequest(id=number, rank=request)

    assert expected.SerializeToString() == envelope.rank(number, request.SerializeToString())


@given(IDS)
def test_a_cancel_names_its_request(number: int) -> None:
    """Cancel has a body of its own, empty as it is."""
    said = pb.StreamRequest.FromString(envelope.cancel(number))

    assert (number, "cancel") == (said.id, said.WhichOneof("body"))


def test_an_answer_is_the_response_itself() -> None:
    """What was ranked comes out as it went in."""
    response = pb.RankResponse(request_id="r", order=[2, 0, 1])
    said = envelope.read(pb.StreamResponse(id=7, ranked=response).SerializeToString())

    assert Answer(7, response) == said


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.value)
def test_a_refusal_in_a_stream_is_the_refusal_of_a_call(reason: Reason) -> None:
    """Code, kind, reason, field, message and RetryInfo are those that the trailers of a unary call carry."""
    refused = status.of(Refusal(reason, "No.", "candidates.count", 40))
    said = envelope.read(pb.StreamResponse(id=1, refused=refused.status).SerializeToString())
    assert isinstance(said, Answer)
    found = said.outcome
    assert isinstance(found, RankRefused)

    rule_field = "candidates.count" if reason.kind is Kind.INVALID else ""
    assert (refused.code, "No.") == (found.code.value[0], found.message)
    assert (reason.kind.value, reason.value, rule_field) == (found.kind, found.reason, found.field)
    assert (0.04 if "RetryInfo" in str(refused.status) else None) == found.retry_after_s
    assert found.pushback_ms is None


def test_a_code_that_nobody_knows_is_unknown() -> None:
    """A newer code than this gRPC's reads as UNKNOWN, and the call fails."""
    said = envelope.read(pb.StreamResponse(id=1, refused=status_pb2.Status(code=99)).SerializeToString())
    assert isinstance(said, Answer)
    assert isinstance(said.outcome, RankRefused)

    assert (grpc.StatusCode.UNKNOWN, "failed") == (said.outcome.code, said.outcome.kind)


def test_an_answer_without_a_body_fails_its_request_only() -> None:
    """A body that this client does not know ends the request that it answers, not the stream."""
    said = envelope.read(pb.StreamResponse(id=3).SerializeToString())
    assert isinstance(said, Answer)
    assert isinstance(said.outcome, RankRefused)

    assert (3, "failed") == (said.id, said.outcome.kind)


def test_notices_are_read() -> None:
    """The greeting has a limit, the drain a wish."""
    greeting = pb.StreamResponse(notice=pb.Notice(in_flight_max=1024))
    draining = pb.StreamResponse(notice=pb.Notice(draining=True))

    assert Notice(1024, False) == envelope.read(greeting.SerializeToString())
    assert Notice(0, True) == envelope.read(draining.SerializeToString())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xff", "is not a podium.v1.StreamResponse"),
        (pb.StreamResponse(refused=status_pb2.Status(code=3)).SerializeToString(), "sent refused about"),
        (b"", "nothing readable"),
    ],
)
def test_what_cannot_belong_to_anybody_ends_the_stream(data: bytes, said: str) -> None:
    """Bytes that are no message, or a refusal of nobody's request, cannot be told to one caller."""
    with pytest.raises(ValueError, match=said):
        envelope.read(data)
