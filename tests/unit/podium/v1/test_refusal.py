"""A refusal's trailers are read as the contract writes them, and damage reads as absent."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from podium.v1.refusal import DETAILS_KEY, DOMAIN, PUSHBACK_KEY, RefusalDetails, read


def details(domain: str = DOMAIN) -> bytes:
    status = status_pb2.Status(code=8)
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason="OVERLOADED", domain=domain, metadata={"kind": "overloaded"})
    )
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)))
    violation = error_details_pb2.BadRequest.FieldViolation(field="candidates.count")
    status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return status.SerializeToString()


def test_everything_is_read() -> None:
    """Kind, reason, field, retry and pushback come from their trailers."""
    assert RefusalDetails("overloaded", "OVERLOADED", "candidates.count", 1.5, 1500) == read(
        [("x-other", "1"), (DETAILS_KEY, details()), (PUSHBACK_KEY, "1500")]
    )


def test_another_domains_reason_is_not_ours() -> None:
    """A proxy's ErrorInfo says nothing about Podium's reasons."""
    found = read([(DETAILS_KEY, details(domain="proxy.example"))])
    assert ("", "") == (found.kind, found.reason)


def test_no_trailers_no_details() -> None:
    """A refusal by the network is empty, with no hint at all."""
    assert RefusalDetails() == read([])


def test_damage_reads_as_absent() -> None:
    """Bytes that are no Status and a pushback that is no number do not break the caller."""
    assert RefusalDetails() == read([(DETAILS_KEY, b"\xff\xff"), (PUSHBACK_KEY, "soon")])


def test_a_negative_pushback_says_do_not_retry() -> None:
    """gRPC's own convention is passed on as it came."""
    assert -1 == read([(PUSHBACK_KEY, "-1")]).pushback_ms
