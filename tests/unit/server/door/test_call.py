"""What a call says, as gRPC's wire has it (grpc/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

from base64 import b64decode
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from server.door.call import Call
from tests.unit.server.door.spoken import Spoken

HEAD = {":status": "200", "content-type": "application/grpc"}


def test_a_status_before_any_message_travels_alone() -> None:
    """Headers and trailers in one block, in place of whatever is unread; bytes in base64."""
    spoken = Spoken()
    Call(spoken, 1).fail(8, "No room.", (("retry-ms", "5"), ("details-bin", b"\0\xff")))
    assert spoken.end_ == (
        HEAD | {"grpc-status": "8", "grpc-message": "No room.", "retry-ms": "5", "details-bin": "AP8="},
        True,
    )
    assert b"\0\xff" == b64decode("AP8=")


def test_a_status_after_a_message_is_trailers_alone() -> None:
    """The headers go out once, with the first message; what was said is read before a peaceful end."""
    spoken = Spoken()
    call = Call(spoken, 1)
    call.send(b"one")
    call.send(b"two")
    call.finish()
    assert ([b"\0\0\0\0\3one", b"\0\0\0\0\3two"], 1) == (spoken.messages, spoken.heads)
    assert ({"grpc-status": "0"}, False) == spoken.end_


def test_an_end_without_a_message_has_headers_too() -> None:
    """OK, or a status that waits its turn."""
    for code, extra in ((0, {}), (14, {"grpc-message": "Gone."})):
        spoken = Spoken()
        Call(spoken, 1).finish(code, "Gone." if code else "")
        assert (HEAD | {"grpc-status": str(code)} | extra, False) == spoken.end_


def test_a_call_whose_headers_are_out_sends_none() -> None:
    """Whoever takes a call over says so."""
    spoken = Spoken()
    Call(spoken, 1, begun=True).fail(13, "Broken.")
    assert ({"grpc-status": "13", "grpc-message": "Broken."}, True) == spoken.end_


@given(st.text())
def test_any_sentence_travels(sentence: str) -> None:
    """As printable ASCII, of which percent-decoding makes the same sentence."""
    spoken = Spoken()
    Call(spoken, 1).fail(3, sentence)
    assert spoken.end_ is not None
    said = spoken.end_[0].get("grpc-message", "")
    assert sentence == unquote(said, errors="strict")
    assert said.isascii()
    assert said.isprintable()
