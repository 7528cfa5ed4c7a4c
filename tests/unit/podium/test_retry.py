"""Whether to try again, and when."""

import grpc
import pytest

from podium.client import RankRefused, RetryPolicy
from podium.v1.refusal import RefusalDetails


def refused(*, retry_after_s: float | None = None, pushback_ms: int | None = None) -> RankRefused:
    """A refusal with these hints."""
    details = RefusalDetails(
        kind="overloaded", reason="OVERLOADED", retry_after_s=retry_after_s, pushback_ms=pushback_ms
    )
    return RankRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "No room.", details)


def wait_s(refusal: RankRefused, *, attempts: int = 1, remaining_s: float = 1.0) -> float | None:
    """The default policy's decision with the dice at 0."""
    return RetryPolicy().wait_s(refusal, attempts, remaining_s, 0.0)


def test_the_server_s_hint_is_the_wait() -> None:
    """The wait is what the server asked for: gRPC's pushback, or RetryInfo where there is none."""
    assert 0.02 == wait_s(refused(retry_after_s=0.5, pushback_ms=20))
    assert 0.5 == wait_s(refused(retry_after_s=0.5))


def test_a_hint_of_zero_means_at_once() -> None:
    """RetryInfo(0), "another replica can answer", waits for nothing, whatever the dice say."""
    assert 0.0 == RetryPolicy(jitter=1.0).wait_s(refused(retry_after_s=0.0), 1, 1.0, 0.9)


def test_a_negative_pushback_is_a_veto() -> None:
    """A server that says "do not retry" is believed, RetryInfo or not."""
    assert wait_s(refused(retry_after_s=0.1, pushback_ms=-1)) is None


def test_without_a_hint_there_is_no_retry() -> None:
    """A refusal that asks for no retry, a broken connection among them, gets none."""
    assert wait_s(refused()) is None


def test_attempts_are_bounded() -> None:
    """The policy's last attempt is the last."""
    assert wait_s(refused(pushback_ms=1), attempts=2) is None
    assert 0.001 == RetryPolicy(attempts_max=3).wait_s(refused(pushback_ms=1), 2, 1.0, 0.0)
    assert RetryPolicy(attempts_max=1).wait_s(refused(pushback_ms=1), 1, 1.0, 0.0) is None


def test_a_wait_that_outlasts_the_deadline_is_not_begun() -> None:
    """The deadline must leave time after the wait."""
    assert wait_s(refused(pushback_ms=100), remaining_s=0.1) is None
    assert 0.1 == wait_s(refused(pushback_ms=100), remaining_s=0.11)


def test_jitter_only_ever_adds() -> None:
    """The hint is when there is room again: the dice move a wait up to jitter later, never earlier."""
    policy = RetryPolicy(jitter=0.5)

    assert 0.1 == policy.wait_s(refused(pushback_ms=100), 1, 1.0, 0.0)
    assert pytest.approx(0.125) == policy.wait_s(refused(pushback_ms=100), 1, 1.0, 0.5)


@pytest.mark.parametrize(("attempts_max", "jitter"), [(0, 0.0), (1, -0.1)])
def test_a_policy_without_sense_is_refused(attempts_max: int, jitter: float) -> None:
    """No attempt at all, or a wait shorter than asked, is a mistake."""
    with pytest.raises(ValueError, match="must be >="):
        RetryPolicy(attempts_max=attempts_max, jitter=jitter)
