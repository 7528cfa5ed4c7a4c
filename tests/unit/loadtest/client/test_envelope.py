"""Envelopes made and read by hand are the contract's own messages."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from http2.messages import PREFIX
from loadtest.client import envelope
from loadtest.client.envelope import Answer
from podium.v1 import ranking_pb2 as pb

IDS = st.integers(1, 2**64 - 1)
REQUEST = pb.RankRequest(model="m", query="q" * 300)
RANKED = pb.RankResponse(model="m", order=[1, 0], scores=b"\0" * 400)


def bare(framed: bytes) -> bytes:
    """Without gRPC's prefix, which must say what follows."""
    assert (0, len(framed) - PREFIX) == (framed[0], int.from_bytes(framed[1:PREFIX], "big"))
    return framed[PREFIX:]


@given(IDS, st.sampled_from([pb.RankRequest(), pb.RankRequest(model="m"), REQUEST]))
def test_a_request_in_its_envelope_is_a_stream_request(number: int, request: pb.RankRequest) -> None:
    """Byte for byte what protobuf writes."""
    body = request.SerializeToString()
    framed = envelope.rank(number, len(body)) + body
    assert pb.StreamRequest(id=number, rank=request).SerializeToString() == bare(framed)
    assert number == envelope.asked(bare(framed))


@given(IDS)
def test_a_cancel_is_one(number: int) -> None:
    """Nobody takes it for a request."""
    framed = envelope.cancel(number)
    assert pb.StreamRequest(id=number, cancel=pb.Cancel()).SerializeToString() == bare(framed)
    assert envelope.asked(bare(framed)) is None


@given(IDS, st.sampled_from([pb.RankResponse(), RANKED]))
def test_an_answer_in_its_envelope_is_a_stream_response(number: int, ranked: pb.RankResponse) -> None:
    """There and back: id, kind and the answer's own bytes."""
    body = ranked.SerializeToString()
    message = pb.StreamResponse(id=number, ranked=ranked).SerializeToString()
    assert message == bare(envelope.ranked(number, body))
    assert Answer(number, "ranked", body) == envelope.answer(memoryview(message))


def test_refusals_and_notices_are_told_apart() -> None:
    """A notice speaks of the stream: its id is 0, which is not written."""
    status = {"code": 8, "message": "full"}
    refused = pb.StreamResponse(id=3, refused=status).SerializeToString()
    assert (3, "refused") == envelope.answer(refused)[:2]
    assert 8 == type(pb.StreamResponse().refused).FromString(envelope.answer(refused).body).code
    notice = pb.StreamResponse(notice=pb.Notice(draining=True)).SerializeToString()
    assert Answer(0, "notice", b"\x10\x01") == envelope.answer(notice)


@pytest.mark.parametrize(
    "message",
    [
        b"\x12\x02\x0a\x00\x08\x05",
        b"\x08\x05\x12\x02\x0a\x00\xf8\x07\x01",
        b"\xf8\x07\x01\x08\x05\x12\x02\x0a\x00",
        b"\x08\x04\x08\x05\x12\x02\x0a\x00",
        b"\x08\x05\x1a\x02\x08\x08\x12\x02\x0a\x00",
    ],
    ids=["id last", "more after", "more before", "id twice", "two bodies"],
)
def test_an_unusual_order_of_fields_means_the_same(message: bytes) -> None:
    """What protobuf allows and no serializer writes is left to protobuf."""
    found = pb.StreamResponse.FromString(message)
    assert (5, "ranked") == (found.id, found.WhichOneof("body"))
    assert Answer(5, "ranked", found.ranked.SerializeToString()) == envelope.answer(message)


def test_a_body_that_is_not_known_is_none() -> None:
    """A later version's answer is an answer of no kind, not a fault of the stream."""
    assert Answer(5, None, b"") == envelope.answer(b"\x08\x05\x32\x00")
    assert Answer(0, None, b"") == envelope.answer(b"")


@pytest.mark.parametrize(
    "message",
    [b"\x08", b"\x08\xff", b"\x08\x05\x12\x09", b"\x08" + b"\xff" * 11, b"\x12\x7f\x00", b"\xff"],
    ids=["no id", "half an id", "no body", "endless id", "short body", "half a tag"],
)
def test_what_is_cut_short_is_unreadable(message: bytes) -> None:
    """By hand as by protobuf."""
    with pytest.raises(DecodeError):
        envelope.answer(message)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_as_protobuf_reads_them(message: bytes) -> None:
    """The same id and kind, or no message at all; the body is left to whoever wants it."""
    try:
        found = pb.StreamResponse.FromString(message)
    except DecodeError:
        return  # by hand a broken body inside a sound envelope passes
    said = envelope.answer(message)
    assert (found.id, found.WhichOneof("body")) == (said.id, said.kind)
