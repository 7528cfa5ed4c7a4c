"""A refusal as gRPC says it; the whole table is read back in tests/unit/podium."""

from __future__ import annotations

import pytest

from protos import refusal as reader
from server import status
from server.errors import Reason, Refusal

BUSY = Refusal(Reason.OVERLOADED, "Busy.", "", 40)


@pytest.mark.parametrize(
    ("remaining_s", "pushback_ms"), [(None, 40), (1.0, 40), (0.041, 40), (0.040, -1), (0.01, -1), (0.0, -1)]
)
def test_a_wait_that_cannot_fit_is_no_invitation(remaining_s: float | None, pushback_ms: int) -> None:
    """Where the wait outlasts the caller's deadline, gRPC's own retry is told not to try."""
    details = reader.read(status.of(BUSY, remaining_s).trailers)
    assert (pushback_ms, 0.04) == (details.pushback_ms, details.retry_after_s)


def test_the_status_in_the_trailers_is_the_status() -> None:
    """Code and message stand in grpc-status-details-bin as they stand in gRPC's own status."""
    refused = status.of(Refusal(Reason.INVALID_TENSOR, "No.", "context[x]"))
    assert (3, "No.", 3, "No.") == (
        refused.code,
        refused.message,
        refused.status.code,
        refused.status.message,
    )
    assert refused.status.SerializeToString() == dict(refused.trailers)[reader.DETAILS_KEY]


def test_reader_and_writer_name_the_same_domain() -> None:
    """A caller tells Podium's refusals from gRPC's by it."""
    assert reader.DOMAIN == status.DOMAIN


@pytest.mark.parametrize("field", ["model", ""])
def test_only_what_the_caller_got_wrong_has_a_field(field: str) -> None:
    """A violation of a field is the caller's; a server that is loading blames none."""
    assert field == reader.read(status.of(Refusal(Reason.MODEL_NOT_FOUND, "No.", field)).trailers).field
    assert "" == reader.read(status.of(Refusal(Reason.MODEL_LOADING, "No.", field)).trailers).field
