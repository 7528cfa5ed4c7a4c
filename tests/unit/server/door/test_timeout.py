"""grpc-timeout, the header (grpc/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.door.timeout import seconds


@pytest.mark.parametrize(
    ("timeout", "expected_s"),
    [
        (b"2H", 7200.0),
        (b"3M", 180.0),
        (b"5S", 5.0),
        (b"20m", 0.02),
        (b"250u", 250e-6),
        (b"7n", 7e-9),
        (b"0S", 0.0),
        (b"00000001S", 1.0),
        (b"99999999H", 99_999_999 * 3600.0),
    ],
)
def test_a_timeout(timeout: bytes, expected_s: float) -> None:
    """One to eight digits and a unit."""
    assert pytest.approx(expected_s) == seconds(timeout)


@pytest.mark.parametrize(
    "timeout", [b"", b"S", b"5", b"5s", b"5 S", b"+5S", b"-5S", b"5.0S", b"123456789S", b"5SS", b"\xb25S"]
)
def test_no_timeout(timeout: bytes) -> None:
    """Nothing else is one."""
    with pytest.raises(ValueError, match="no grpc-timeout"):
        seconds(timeout)


@given(st.binary(max_size=12))
def test_any_bytes_are_a_timeout_or_none(timeout: bytes) -> None:
    """Nothing else is raised, and none is negative."""
    try:
        assert seconds(timeout) >= 0
    except ValueError:
        assert not timeout[:-1].isdigit() or len(timeout) > 9 or timeout[-1:] not in b"HMSmun"
