"""grpc-timeout, a header: at most eight digits and a unit (grpc/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

from typing import Final

from server.run import clock_ns

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


class Remaining:
    """What a caller's deadline leaves of the time since its call began: a message may come much later."""

    __slots__ = ("_ends_ns",)

    def __init__(self, remaining_s: float | None) -> None:
        """Args: `remaining_s`: now; None when the caller set no deadline."""
        self._ends_ns = None if remaining_s is None else clock_ns() + int(remaining_s * 1e9)

    def seconds(self) -> float | None:
        """By now; below 0 when it has passed."""
        return None if self._ends_ns is None else (self._ends_ns - clock_ns()) / 1e9
