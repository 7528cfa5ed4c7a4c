"""How a call ends without scores: one exception, with everything that the server said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import grpc

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


class RankRefused(Exception):
    """The request was not ranked.

    Attributes:
        kind: invalid, denied, overloaded, expired, cancelled, unready or failed.
        code: gRPC's code.
        reason: the server's reason, as "OVERLOADED"; "" when the no came from gRPC or the network.
        field: path of the offending field, as "candidates.columns[features]"; "" when there is none.
        retry_after_s: when to come back; None = the server did not say.
        pushback_ms: gRPC's retry hint; negative = do not retry; None = absent.
        attempts: how many times the request was sent, 0 when its deadline was over before the first.
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
        super().__init__(f"{self.kind}: {message} ({self.reason or code.name})")

    @classmethod
    def of(cls, error: grpc.RpcError) -> RankRefused:
        """Read what an rpc of either API, blocking or asyncio, raised."""
        trailers = error.trailing_metadata() or ()
        return cls(error.code(), error.details() or "", refusal.read(trailers))
