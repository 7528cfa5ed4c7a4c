"""One call over its attempts, on a clock that the test turns."""

import grpc
import pytest

from podium.client import RankRefused, RetryPolicy
from podium.client.attempts import Attempts
from podium.v1 import ranking_pb2 as pb
from podium.v1.refusal import RefusalDetails

START_S = 100.0


def attempts(deadline_s: float = 1.0, timeout_us: int = 0) -> Attempts:
    """A call that began at START_S."""
    return Attempts(
        pb.RankRequest(model="m", timeout_us=timeout_us), deadline_s, START_S, RetryPolicy(jitter=0)
    )


def sent(call: Attempts, now_s: float) -> tuple[int, float]:
    """timeout_us on the wire, and the RPC's deadline in seconds."""
    payload, timeout_s = call.send(now_s)
    return pb.RankRequest.FromString(payload).timeout_us, timeout_s


def overloaded(pushback_ms: int) -> RankRefused:
    """A refusal that asks for a retry."""
    details = RefusalDetails(kind="overloaded", reason="OVERLOADED", pushback_ms=pushback_ms)
    return RankRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "No room.", details)


def test_each_attempt_carries_what_is_left() -> None:
    """A retry does not renew the deadline: the second attempt has what the first left over."""
    call = attempts(deadline_s=1.0)

    assert (1_000_000, 1.0) == sent(call, START_S)
    assert 0.25 == call.wait_s(overloaded(250), START_S + 0.25, 0.0)
    assert (500_000, 0.5) == sent(call, START_S + 0.5)


def test_a_shorter_timeout_of_the_message_is_kept() -> None:
    """A message's own timeout_us holds when it is the shorter one."""
    assert (2000, 1.0) == sent(attempts(1.0, timeout_us=2000), START_S)
    assert (1_000_000, 1.0) == sent(attempts(1.0, timeout_us=9_000_000), START_S)


def test_a_deadline_that_has_passed_is_not_sent() -> None:
    """With nothing left the call ends as expired, without a send: 0 on the wire would mean "none"."""
    with pytest.raises(RankRefused) as caught:
        attempts(1.0).send(START_S + 1.0)

    refused = caught.value
    assert ("expired", grpc.StatusCode.DEADLINE_EXCEEDED, 0) == (refused.kind, refused.code, refused.attempts)


def test_the_last_refusal_is_the_one_raised() -> None:
    """When there is no further attempt the caller gets the server's own words, and how often it was asked."""
    call, last = attempts(), overloaded(10)
    call.send(START_S)
    call.wait_s(overloaded(10), START_S, 0.0)
    call.send(START_S)

    with pytest.raises(RankRefused) as caught:
        call.wait_s(last, START_S, 0.0)

    assert last is caught.value
    assert 2 == last.attempts


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("inf"), float("nan")])
def test_a_deadline_must_be_one(deadline_s: float) -> None:
    """Waiting for ever, or not at all, is a mistake."""
    with pytest.raises(ValueError, match="deadline_s must be above 0 and finite"):
        attempts(deadline_s)
