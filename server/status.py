"""A refusal as gRPC says it: code, message and trailers. The table itself is `server.errors.RULES`."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from server.errors import RULES, Kind, Refusal, Retry

DOMAIN = "podium.v1"
"""ErrorInfo.domain of every refusal that is ours and not the gRPC library's."""
_PUSHBACK_MS_MIN = 1
"""After a pushback of 0 grpcio (1.85) never makes the attempt: the call hangs until its deadline."""


@dataclass(frozen=True, slots=True)
class RefusalStatus:
    """Ready for an rpc's `abort`, or (`status`) for a stream's in-band refusal."""

    code: int
    message: str
    trailers: tuple[tuple[str, str | bytes], ...]
    status: status_pb2.Status


def of(refusal: Refusal, remaining_s: float | None = None) -> RefusalStatus:
    """Build the status of a refusal.

    Args:
        remaining_s: what the caller's deadline leaves: a retry that cannot fit is pushed back with -1.
    """
    rule = RULES[refusal.reason]
    info = error_details_pb2.ErrorInfo(
        reason=refusal.reason.value,
        domain=DOMAIN,
        metadata={"kind": rule.kind.value, **dict(refusal.facts)},
    )
    status = status_pb2.Status(code=int(rule.code), message=refusal.message)
    status.details.add().Pack(info)
    if refusal.field and rule.kind is Kind.INVALID:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=refusal.field, description=refusal.message
        )
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    pushback_ms = -1
    if rule.retry is not Retry.NEVER:
        wait_ms = refusal.retry_after_ms or 0
        wait = Duration()
        wait.FromMilliseconds(wait_ms)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=wait))
        if remaining_s is None or wait_ms + refusal.needs_ms < remaining_s * 1e3:
            pushback_ms = max(wait_ms, _PUSHBACK_MS_MIN)
    trailers = (
        ("grpc-status-details-bin", status.SerializeToString()),
        ("grpc-retry-pushback-ms", str(pushback_ms)),
    )
    return RefusalStatus(int(rule.code), refusal.message, trailers, status)
