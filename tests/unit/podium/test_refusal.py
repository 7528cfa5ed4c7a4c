"""What the server writes into a refusal's trailers is what a caller reads."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from podium.client import RankRefused
from podium.client.refused import KIND_OF_CODE
from podium.v1.refusal import DETAILS_KEY, DOMAIN, PUSHBACK_KEY, RefusalDetails, read
from server import status
from server.errors import RULES, Kind, Reason, Refusal, Retry


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.value)
def test_every_reason_is_read_back(reason: Reason) -> None:
    """Kind, reason, field and both hints survive the wire, for every reason the server has."""
    rule = RULES[reason]
    hinted = rule.retry is not Retry.NEVER
    trailers = status.of(Refusal(reason, "No.", "candidates.count", 40), remaining_s=1.0).trailers

    expected = RefusalDetails(
        kind=rule.kind.value,
        reason=reason.value,
        field="candidates.count" if rule.kind is Kind.INVALID else "",
        retry_after_s=0.04 if hinted else None,
        pushback_ms=40 if hinted else -1,
    )
    assert expected == read(trailers)


def test_a_retry_that_cannot_fit_is_vetoed() -> None:
    """The server's pushback turns negative when the wait outlasts the caller's deadline."""
    trailers = status.of(Refusal(Reason.OVERLOADED, "No.", "", 40), remaining_s=0.03).trailers

    assert -1 == read(trailers).pushback_ms


def test_another_s_refusal_is_not_taken_for_podium_s() -> None:
    """An ErrorInfo of another domain, a proxy's say, gives neither kind nor reason."""
    message = status_pb2.Status(code=14)
    message.details.add().Pack(error_details_pb2.ErrorInfo(reason="QUOTA", domain="proxy.example"))

    assert RefusalDetails() == read([(DETAILS_KEY, message.SerializeToString())])


def test_damaged_trailers_read_as_absent() -> None:
    """Trailers that nobody can read say nothing; in particular, they ask for no retry."""
    assert RefusalDetails() == read([(DETAILS_KEY, b"\xff\xff"), (PUSHBACK_KEY, "soon")])


def test_one_damaged_detail_leaves_the_others() -> None:
    """A detail of a known type that does not parse is skipped; what stands beside it is read."""
    message = status_pb2.Status(code=8)
    message.details.add().Pack(error_details_pb2.RetryInfo())
    message.details[0].value = b"\xff\xff"
    message.details.add().Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED", domain=DOMAIN))

    assert RefusalDetails(reason="OVERLOADED") == read([(DETAILS_KEY, message.SerializeToString())])


@pytest.mark.parametrize(("code", "kind"), KIND_OF_CODE.items(), ids=lambda value: str(value))
def test_without_podium_s_word_the_code_gives_the_kind(code: grpc.StatusCode, kind: str) -> None:
    """A bare gRPC status still has a kind, and one that the server knows."""
    refused = RankRefused(code, "", RefusalDetails())

    assert (kind, "", True) == (refused.kind, refused.reason, kind in {each.value for each in Kind})


def test_the_codes_of_the_table_give_the_table_s_kinds() -> None:
    """For every reason of the server the guess from the code alone is right."""
    numbers = {code.value[0]: kind for code, kind in KIND_OF_CODE.items()}

    for reason, rule in RULES.items():
        if reason is Reason.EXECUTOR_LOST:  # our fault, and yet gRPC's word for "ask another" is UNAVAILABLE
            continue
        assert rule.kind.value == numbers.get(int(rule.code), "failed")
