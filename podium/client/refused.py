"""How a call ends without scores: one exception, with everything that the server said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import grpc
from google.rpc import status_pb2

from podium.v1 import refusal

KIND_OF_CODE: Final[Mapping[grpc.StatusCode, str]] = {
    grpc.StatusCode.INVALID_ARGUMENT: "invalid",
    grpc.StatusCode.NOT_FOUND: "invalid",
    grpc.StatusCode.OUT_OF_RANGE: "invalid",
    grpc.StatusCode.FAILED_PRECONDITION: "invalid",
    grpc.StatusCode.UNIMPLEMENTED: "invalid",
    grpc.StatusCode.PERMISSION_DENIED: "denied",
    grpc.StatusCode.UNAUTHENTICATED: "denied",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "overloaded",
    grpc.StatusCode.DEADLINE_EXCEEDED: "expired",
    grpc.StatusCode.CANCELLED: "cancelled",
    grpc.StatusCode.UNAVAILABLE: "unready",
}
"""The kind when nobody but gRPC spoke (no ErrorInfo of ours); any other code is "failed"."""
_CODES: Final[Mapping[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}


class RankRefused(Exception):
    """The request was not ranked.

    Attributes:
        kind: invalid, denied, overloaded, expired, cancelled, unready or failed.
        code: gRPC's code.
        reason: the server's reason, as "OVERLOADED"; "" when the no came from gRPC or the network.
        field: path of the offending field, as "candidates.columns[features]"; "" when there is none.
        retry_after_s: when to come back; None = the server did not say.
        pushback_ms: gRPC's retry hint; negative = do not retry; None = absent, as always in a stream.
        attempts: how many times the request was sent, 0 when its deadline was over before the first.
        backend: address of the server that refused, where a stream knows it; "" else.
    """

    def __init__(self, code: grpc.StatusCode, message: str, details: refusal.RefusalDetails) -> None:
        self.code = code
        self.message = message
        self.kind = details.kind or KIND_OF_CODE.get(code, "failed")
        self.reason = details.reason
        self.field = details.field
        self.retry_after_s = details.retry_after_s
        self.pushback_ms = details.pushback_ms
        self.attempts = 0
        self.backend = ""
        super().__init__(f"{self.kind}: {message} ({self.reason or code.name})")

    @classmethod
    def of(cls, error: grpc.RpcError) -> RankRefused:
        """Read what an rpc of either API, blocking or asyncio, raised."""
        trailers = error.trailing_metadata() or ()
        return cls(error.code(), error.details() or "", refusal.read(trailers))

    @classmethod
    def in_band(cls, status: status_pb2.Status) -> RankRefused:
        """Read what a server sent as one request's end inside a stream."""
        code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
        return cls(code, status.message, refusal.of_status(status))

    def copy(self) -> RankRefused:
        """The same refusal for another request: an exception that was raised belongs to one caller."""
        details = refusal.RefusalDetails(
            self.kind, self.reason, self.field, self.retry_after_s, self.pushback_ms
        )
        return RankRefused(self.code, self.message, details)
