"""A refusal read back from the wire: a unary call's trailers, or the status inside a stream.

Shared by whoever gets refused: the client and the load test. What the server writes is `server.status`.
Written by hand, unlike its neighbours; it stands here so that `podium.client` needs `podium.v1` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "podium.v1"
"""`ErrorInfo.domain` of Podium's own refusals; whatever lacks it came from gRPC, a proxy or the network."""
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"


@dataclass(frozen=True, slots=True)
class RefusalDetails:
    """What a refusal says beside its code and text.

    Attributes:
        kind: as `server.errors.Kind`'s value; "" when the refusal is not Podium's own.
        reason: `ErrorInfo.reason`; "" when the refusal is not Podium's own.
        field: path of the offending field; "" when there is none.
        retry_after_s: from RetryInfo; None = the refusal carries none.
        pushback_ms: gRPC's own hint, a trailer; negative = do not retry, None = absent or unreadable.
    """

    kind: str = ""
    reason: str = ""
    field: str = ""
    retry_after_s: float | None = None
    pushback_ms: int | None = None


def read(trailers: Iterable[tuple[str, str | bytes]]) -> RefusalDetails:
    """Read a refusal's trailers; damaged ones read as absent, since a proxy may have written them."""
    said = RefusalDetails()
    pushback_ms: int | None = None
    for key, value in trailers:
        if key == PUSHBACK_KEY:
            pushback_ms = _integer(value)
        elif key == DETAILS_KEY and isinstance(value, bytes):
            with suppress(DecodeError):
                said = of_status(status_pb2.Status.FromString(value))
    return replace(said, pushback_ms=pushback_ms)


def of_status(status: status_pb2.Status) -> RefusalDetails:
    """Read a refusal that came inside a stream; a damaged detail reads as absent and leaves the others."""
    kind = reason = field = ""
    retry_after_s: float | None = None
    for detail in _known(status):
        if isinstance(detail, error_details_pb2.ErrorInfo) and detail.domain == DOMAIN:
            kind, reason = detail.metadata["kind"], detail.reason
        elif isinstance(detail, error_details_pb2.RetryInfo):
            retry_after_s = detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9
        elif isinstance(detail, error_details_pb2.BadRequest):
            field = detail.field_violations[0].field if detail.field_violations else ""
    return RefusalDetails(kind, reason, field, retry_after_s)


def _known(status: status_pb2.Status) -> Iterator[Any]:
    """The details that we know and can read."""
    known = (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo, error_details_pb2.BadRequest)
    for detail in status.details:
        for kind in known:
            if detail.Is(kind.DESCRIPTOR):
                with suppress(DecodeError):
                    yield kind.FromString(detail.value)


def _integer(value: str | bytes) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None
