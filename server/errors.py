"""Every way the server says no. One table: reason -> kind, gRPC code, retry.

A reason is at once `ErrorInfo.reason` on the wire, a metric label and a log field: three views, one word.
Codes follow the canonical meanings of google.rpc.Code; overload is RESOURCE_EXHAUSTED, not UNAVAILABLE, so
that outlier detection reads "busy", not "broken".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


class Kind(enum.Enum):
    """What a refusal means to the caller; the metric label."""

    INVALID = "invalid"  # the request can never succeed
    DENIED = "denied"  # it may not ask for this
    OVERLOADED = "overloaded"  # no room now; later or elsewhere
    EXPIRED = "expired"  # could not finish by its deadline
    CANCELLED = "cancelled"  # the caller left
    UNREADY = "unready"  # loading, draining or no such version here
    FAILED = "failed"  # our fault


class Retry(enum.Enum):
    NEVER = "never"
    AFTER = "after"  # after RetryInfo
    ELSEWHERE = "elsewhere"  # at once, on another replica


class Code(enum.IntEnum):
    """Canonical gRPC codes by number, so that this table needs no gRPC."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class Reason(enum.Enum):
    """The closed list; the value is `ErrorInfo.reason`."""

    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    INVALID_FIELD = "INVALID_FIELD"
    INVALID_TENSOR = "INVALID_TENSOR"
    NON_FINITE_INPUT = "NON_FINITE_INPUT"
    UNKNOWN_ID = "UNKNOWN_ID"
    NO_CANDIDATES = "NO_CANDIDATES"
    TOO_MANY_CANDIDATES = "TOO_MANY_CANDIDATES"
    INVALID_STREAM_ID = "INVALID_STREAM_ID"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    VERSION_NOT_FOUND = "VERSION_NOT_FOUND"
    VARIANT_NOT_FOUND = "VARIANT_NOT_FOUND"
    UNSUPPORTED_OPTION = "UNSUPPORTED_OPTION"
    OVERLOADED = "OVERLOADED"
    DISPLACED = "DISPLACED"
    IN_FLIGHT_BYTES = "IN_FLIGHT_BYTES"
    STREAM_FULL = "STREAM_FULL"
    UNREAD_ANSWERS = "UNREAD_ANSWERS"
    DEADLINE_TOO_SHORT = "DEADLINE_TOO_SHORT"
    EXPIRED_ON_ARRIVAL = "EXPIRED_ON_ARRIVAL"
    EXPIRED_IN_QUEUE = "EXPIRED_IN_QUEUE"
    CALLER_CANCELLED = "CALLER_CANCELLED"
    MODEL_LOADING = "MODEL_LOADING"
    MODEL_REFUSED = "MODEL_REFUSED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    EXECUTION_FAILED = "EXECUTION_FAILED"
    EXECUTOR_LOST = "EXECUTOR_LOST"
    NON_FINITE_OUTPUT = "NON_FINITE_OUTPUT"
    INTERNAL_ERROR = "INTERNAL_ERROR"

    @property
    def kind(self) -> Kind:
        return RULES[self].kind


@dataclass(frozen=True, slots=True)
class Rule:
    kind: Kind
    code: Code
    retry: Retry


RULES: Final[Mapping[Reason, Rule]] = {
    Reason.MALFORMED_REQUEST: Rule(Kind.INVALID, Code.INVALID_ARGUMENT, Retry.NEVER),
    Reason.INVALID_FIELD: Rule(Kind.INVALID, Code.INVALID_ARGUMENT, Retry.NEVER),
    Reason.INVALID_TENSOR: Rule(Kind.INVALID, Code.INVALID_ARGUMENT, Retry.NEVER),
    Reason.NON_FINITE_INPUT: Rule(Kind.INVALID, Code.INVALID_ARGUMENT, Retry.NEVER),
    Reason.UNKNOWN_ID: Rule(Kind.INVALID, Code.INVALID_ARGUMENT, Retry.NEVER),
    Reason.NO_CANDIDATES: Rule(Kind.INVALID, Code.INVALID_ARGUMENT, Retry.NEVER),
    Reason.TOO_MANY_CANDIDATES: Rule(Kind.INVALID, Code.INVALID_ARGUMENT, Retry.NEVER),
    Reason.INVALID_STREAM_ID: Rule(Kind.INVALID, Code.INVALID_ARGUMENT, Retry.NEVER),
    Reason.MODEL_NOT_FOUND: Rule(Kind.INVALID, Code.NOT_FOUND, Retry.NEVER),
    Reason.VERSION_NOT_FOUND: Rule(Kind.INVALID, Code.NOT_FOUND, Retry.NEVER),
    Reason.VARIANT_NOT_FOUND: Rule(Kind.INVALID, Code.NOT_FOUND, Retry.NEVER),
    Reason.UNSUPPORTED_OPTION: Rule(Kind.INVALID, Code.UNIMPLEMENTED, Retry.NEVER),
    Reason.OVERLOADED: Rule(Kind.OVERLOADED, Code.RESOURCE_EXHAUSTED, Retry.AFTER),
    Reason.DISPLACED: Rule(Kind.OVERLOADED, Code.RESOURCE_EXHAUSTED, Retry.AFTER),
    Reason.IN_FLIGHT_BYTES: Rule(Kind.OVERLOADED, Code.RESOURCE_EXHAUSTED, Retry.AFTER),
    Reason.STREAM_FULL: Rule(Kind.OVERLOADED, Code.RESOURCE_EXHAUSTED, Retry.AFTER),
    Reason.UNREAD_ANSWERS: Rule(Kind.OVERLOADED, Code.RESOURCE_EXHAUSTED, Retry.AFTER),
    Reason.DEADLINE_TOO_SHORT: Rule(Kind.EXPIRED, Code.DEADLINE_EXCEEDED, Retry.NEVER),
    Reason.EXPIRED_ON_ARRIVAL: Rule(Kind.EXPIRED, Code.DEADLINE_EXCEEDED, Retry.NEVER),
    Reason.EXPIRED_IN_QUEUE: Rule(Kind.EXPIRED, Code.DEADLINE_EXCEEDED, Retry.NEVER),
    Reason.CALLER_CANCELLED: Rule(Kind.CANCELLED, Code.CANCELLED, Retry.NEVER),
    Reason.MODEL_LOADING: Rule(Kind.UNREADY, Code.UNAVAILABLE, Retry.AFTER),
    Reason.MODEL_REFUSED: Rule(Kind.UNREADY, Code.UNAVAILABLE, Retry.ELSEWHERE),
    Reason.SHUTTING_DOWN: Rule(Kind.UNREADY, Code.UNAVAILABLE, Retry.ELSEWHERE),
    Reason.EXECUTION_FAILED: Rule(Kind.FAILED, Code.INTERNAL, Retry.NEVER),
    Reason.EXECUTOR_LOST: Rule(Kind.FAILED, Code.UNAVAILABLE, Retry.ELSEWHERE),
    Reason.NON_FINITE_OUTPUT: Rule(Kind.FAILED, Code.INTERNAL, Retry.NEVER),
    Reason.INTERNAL_ERROR: Rule(Kind.FAILED, Code.INTERNAL, Retry.NEVER),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One no. `message` is a sentence for a person; it never quotes ids, features or query text.

    Attributes:
        field: path of the offending field, as `candidates.columns[features]`; "" when there is none.
        retry_after_ms: when the plan expects room again; only with Retry.AFTER.
        needs_ms: what the request needs on an idle server: with less left, a retry is pointless.
        facts: numbers for a program to read, as `ErrorInfo.metadata`.
    """

    reason: Reason
    message: str
    field: str = ""
    retry_after_ms: int | None = None
    needs_ms: float = 0.0
    facts: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """A refusal crossing into a caller that waits; in the core a refusal is a returned value."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
