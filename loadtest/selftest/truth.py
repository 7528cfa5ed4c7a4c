"""What a mock server injects, and what it says afterwards that it did. Values only."""

from __future__ import annotations

from typing import Final

import msgspec

FATES: Final = ("answered", "reversed", "degraded", "late", "overloaded", "expired", "failed", "silent")
"""What can become of a request. `answered` is what the shares of the others leave."""


class Injected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a mock does to its callers.

    Attributes:
        seed: of everything that is drawn.
        median_ms, sigma: of the answers' delay: median * exp(sigma * normal); sigma 0 = always the median.
        late_ms: delay of the late share, instead.
        late, reversed, degraded: shares of the requests that are answered so.
        overloaded, expired, failed: shares that are refused so, at once.
        silent: share that is never answered.
        stall_at_s, stall_s: nothing moves for so long, from so long after the first request; 0 = no stall.
        told: what the answers' `timings.total_us` claims, as a multiple of the truth.
    """

    seed: int = 0
    median_ms: float = 5.0
    sigma: float = 0.0
    late_ms: float = 0.0
    late: float = 0.0
    reversed: float = 0.0
    degraded: float = 0.0
    overloaded: float = 0.0
    expired: float = 0.0
    failed: float = 0.0
    silent: float = 0.0
    stall_at_s: float = 0.0
    stall_s: float = 0.0
    told: float = 1.0


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What a mock did, by its own account. Lists by arrival; instants on the monotonic clock.

    Attributes:
        fate: of each request, one of FATES.
        delay_ms: what was injected; 0 for what was refused or never answered.
        lag_ms: how far behind its own plan the mock handed an answer over; 0 without an answer.
        told_us: what the answer claimed; 0 without an answer.
        stall_ns: start and end of the stall; (0, 0) = there was none.
    """

    fate: list[str]
    delay_ms: list[float]
    lag_ms: list[float]
    told_us: list[int]
    stall_ns: tuple[int, int]

    def count(self, *fates: str) -> int:
        """How many requests had one of these fates."""
        return sum(fate in fates for fate in self.fate)
