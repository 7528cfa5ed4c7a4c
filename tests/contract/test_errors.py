"""The table of refusals is total, and what it promises to callers is consistent."""

from __future__ import annotations

import re

import grpc
import pytest

from server.errors import RULES, Code, Kind, Reason, Retry


def test_every_reason_has_a_rule() -> None:
    """A new reason cannot be added without its kind, code and retry; a deleted one leaves no rule."""
    assert set(Reason) == set(RULES)


@pytest.mark.parametrize("reason", Reason)
def test_reasons_are_valid_on_the_wire(reason: Reason) -> None:
    """google.rpc.ErrorInfo: at most 63 characters of [A-Z][A-Z0-9_]+[A-Z0-9]; the name is the value."""
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+[A-Z0-9]", reason.value)
    assert len(reason.value) <= 63
    assert reason.name == reason.value


@pytest.mark.parametrize("code", Code)
def test_codes_are_grpcs(code: Code) -> None:
    """The numbers of the table, which needs no gRPC, are gRPC's own."""
    assert code.value == grpc.StatusCode[code.name].value[0]


@pytest.mark.parametrize("reason", Reason)
def test_kind_and_code_agree(reason: Reason) -> None:
    """One kind is never told in the code of another: callers and dashboards may read either."""
    codes = {
        Kind.INVALID: {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.UNIMPLEMENTED},
        Kind.OVERLOADED: {Code.RESOURCE_EXHAUSTED},
        Kind.EXPIRED: {Code.DEADLINE_EXCEEDED},
        Kind.CANCELLED: {Code.CANCELLED},
        Kind.UNREADY: {Code.UNAVAILABLE},
        Kind.FAILED: {Code.INTERNAL},
    }
    if reason is Reason.EXECUTOR_LOST:  # our fault, and yet another replica can help
        codes[Kind.FAILED] = {Code.UNAVAILABLE}
    assert RULES[reason].code in codes[RULES[reason].kind]


@pytest.mark.parametrize("reason", Reason)
def test_retry_agrees_with_kind(reason: Reason) -> None:
    """Overload passes; an unready replica has neighbours; everything else would fail again."""
    retries = {Kind.OVERLOADED: {Retry.AFTER}, Kind.UNREADY: {Retry.AFTER, Retry.ELSEWHERE}}
    if reason is Reason.EXECUTOR_LOST:  # ranking twice harms nobody
        retries[Kind.FAILED] = {Retry.ELSEWHERE}
    assert RULES[reason].retry in retries.get(RULES[reason].kind, {Retry.NEVER})
