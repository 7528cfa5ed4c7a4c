"""Whether to try again, and when. Pure: what is left of the deadline and the dice are arguments.

Rule: only the server asks for a retry. It says so with RetryInfo or a pushback >= 0, and a negative pushback
is a veto (the wait would outlast the deadline, say). Whoever says neither is not retried: a connection that
broke may have delivered the request, and a retry nobody asked for doubles the load of an outage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from podium.client.refused import RankRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and with how much spread.

    Attributes:
        attempts_max: sends per request, the first one included; 1 = never retry.
        jitter: a wait of w is drawn evenly from [w, w · (1 + jitter)]: never earlier than asked, because the
            hint is when the server expects room, and spread, because all that were refused with one got the
            same hint. A wait of 0 ("elsewhere at once") stays 0.
    """

    attempts_max: int = 2
    jitter: float = 0.25

    def __post_init__(self) -> None:
        if self.attempts_max < 1:
            raise ValueError(f"attempts_max must be >= 1, got {self.attempts_max}")
        if self.jitter < 0:
            raise ValueError(f"jitter must be >= 0, got {self.jitter}")

    def wait_s(self, refused: RankRefused, attempts: int, remaining_s: float, draw: float) -> float | None:
        """How long to wait before the next attempt; None = there is none.

        Args:
            attempts: sends so far.
            remaining_s: what is left of the deadline.
            draw: the dice, evenly from [0, 1).
        """
        hint_s = _hint_s(refused)
        if hint_s is None or attempts >= self.attempts_max:
            return None
        wait_s = hint_s * (1 + self.jitter * draw)
        return wait_s if wait_s < remaining_s else None


ONCE_MORE: Final = RetryPolicy()
"""The clients' default."""


def _hint_s(refused: RankRefused) -> float | None:
    if refused.pushback_ms is None:
        return refused.retry_after_s
    return refused.pushback_ms / 1e3 if refused.pushback_ms >= 0 else None
