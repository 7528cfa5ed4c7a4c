"""The scheduler's no carries the numbers that it was decided by."""

from __future__ import annotations

import pytest
from google.rpc import error_details_pb2

from protos import refusal as reader
from server import refusals, status
from server.core.decisions import Lane, Rejected, Ticket
from server.errors import Reason, Refusal

MS = 1_000_000
TICKET = Ticket(1, Lane("m", 1, "int8"), 10, 5 * MS, 30 * MS)


def metadata(refusal: Refusal) -> dict[str, str]:
    """ErrorInfo.metadata as a caller finds it, without the kind."""
    info = error_details_pb2.ErrorInfo.FromString(status.of(refusal).status.details[0].value)
    return {key: value for key, value in info.metadata.items() if key != "kind"}


def test_too_busy_says_when_how_long_and_how_fast() -> None:
    """RetryInfo rounds the wait up to a millisecond; the queue and the capacity stand beside it."""
    refusal = refusals.rejected(Rejected(Reason.OVERLOADED, 7 * MS + 1, 5 * MS, 12_340_000, 81_234.6))
    assert {"queueMs": "12.3", "capacityRowsPerSecond": "81235"} == metadata(refusal)
    assert 0.008 == reader.read(status.of(refusal).trailers).retry_after_s


def test_too_short_says_what_would_be_enough() -> None:
    """No retry: the same deadline would be too short again."""
    refusal = refusals.rejected(Rejected(Reason.DEADLINE_TOO_SHORT, None, 5_260_000))
    assert {"minimumMs": "5.3"} == metadata(refusal)
    assert "5.3 ms" in refusal.message
    assert -1 == reader.read(status.of(refusal, 60.0).trailers).pushback_ms


@pytest.mark.parametrize(("remaining_s", "pushback_ms"), [(0.014, 8), (0.013, -1)])
def test_a_retry_must_leave_time_to_be_served(remaining_s: float, pushback_ms: int) -> None:
    """8 ms of waiting and 5 of work fit into 14 ms, not into 13: then gRPC is told not to retry."""
    refusal = refusals.rejected(Rejected(Reason.OVERLOADED, 8 * MS, 5 * MS))
    assert pushback_ms == reader.read(status.of(refusal, remaining_s).trailers).pushback_ms


def test_who_waited_in_vain_is_told_how_long() -> None:
    """From arrival to now."""
    refusal = refusals.expired(TICKET, 29 * MS)
    assert (Reason.EXPIRED_IN_QUEUE, {"queuedMs": "24.0"}) == (refusal.reason, metadata(refusal))


def test_the_displaced_may_come_back_when_the_plan_is_done() -> None:
    """A wait, unlike for those whose deadline has passed."""
    refusal = refusals.displaced(3 * MS + 1)
    details = reader.read(status.of(refusal).trailers)
    assert ("overloaded", "DISPLACED", 0.004) == (details.kind, details.reason, details.retry_after_s)


def test_who_is_in_a_stuck_run_may_go_elsewhere_at_once() -> None:
    """RetryInfo of 0: the request is idempotent, another replica can answer."""
    details = reader.read(status.of(refusals.lost()).trailers)
    assert ("failed", "EXECUTOR_LOST", 0.0, 1) == (
        details.kind,
        details.reason,
        details.retry_after_s,
        details.pushback_ms,
    )
