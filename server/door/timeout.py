"""grpc-timeout, a header: at most eight digits and a unit (grpc/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

from typing import Final

_UNITS_S: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_DIGITS_MAX: Final = 8


def seconds(timeout: bytes) -> float:
    """The header's value.

    Raises:
        ValueError: it is none.
    """
    digits, unit = timeout[:-1], _UNITS_S.get(timeout[-1:])
    if unit is None or not digits.isdigit() or len(digits) > _DIGITS_MAX:
        raise ValueError("no grpc-timeout")
    return int(digits) * unit
