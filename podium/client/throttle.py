"""Whether to send at all: a client that is refused too often says no itself, which costs the servers nothing.

P(refuse) = max(0, (requests - K · accepts) / (requests + 1)) over a sliding window: "Handling Overload" in
Site Reliability Engineering (Beyer et al., 2016). Pure: the time and the dice are arguments.

Rule: only "no room" drives it. Whatever else a server says, or does not say, is no sign of overload, and
counts as accepted. Importance classes are counted apart: that sheddable requests are refused is no reason to
hold back critical ones.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

import grpc

from podium.client.refused import RankRefused
from podium.v1.refusal import RefusalDetails

REASON: Final = "THROTTLED_BY_CLIENT"
"""`RankRefused.reason` of a request that was not sent."""
_BUCKETS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottlePolicy:
    """How much refusal is too much.

    Attributes:
        multiplier: K. With 2 a client sends up to twice of what is accepted, and so learns in a window that
            there is room again.
        window_s: how long a request counts.
        requests_min: with fewer in the window nothing is refused: a handful says nothing.
    """

    multiplier: float = 2.0
    window_s: float = 120.0
    requests_min: int = 100

    def __post_init__(self) -> None:
        if self.multiplier < 1:
            raise ValueError(f"multiplier must be >= 1, got {self.multiplier}")
        if not self.window_s > 0:
            raise ValueError(f"window_s must be above 0, got {self.window_s}")


DEFAULT: Final = ThrottlePolicy()
"""On unless told otherwise: it does nothing until more than half of over a hundred requests were refused, and
from there on sending more only makes servers say no more often."""


class Throttle:
    """Counts the requests of one client; safe to share between threads. Times are of one monotonic clock."""

    def __init__(self, policy: ThrottlePolicy) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._classes: dict[int, _Window] = {}

    def ask(self, importance: int, now_s: float, draw: float) -> None:
        """One more request wants to be sent.

        Args:
            importance: its class, as on the wire.
            draw: the dice, evenly from [0, 1).

        Raises:
            RankRefused: of kind overloaded; it is not to be sent.
        """
        policy = self._policy
        with self._lock:
            window = self._window(importance)
            requests, accepts = window.totals(now_s)
            surplus = requests - policy.multiplier * accepts
            if requests < policy.requests_min or draw >= surplus / (requests + 1):
                return
            window.add(now_s, requests=1)
        raise _refusal()

    def told(self, importance: int, now_s: float, refused: RankRefused | None) -> None:
        """How a request that was sent has ended; None = with an answer.

        It counts from now on: what is still under way is no sign of anything.
        """
        room = refused is None or refused.kind != "overloaded"
        with self._lock:
            self._window(importance).add(now_s, requests=1, accepts=int(room))

    def _window(self, importance: int) -> _Window:
        return self._classes.setdefault(importance, _Window(self._policy.window_s))


class _Window:
    """Sums over the last so many seconds, to a twenty-fourth."""

    def __init__(self, window_s: float) -> None:
        self._bucket_s = window_s / _BUCKETS
        self._buckets: deque[tuple[int, int, int]] = deque()  # number, requests, accepts
        self._requests = self._accepts = 0

    def add(self, now_s: float, *, requests: int = 0, accepts: int = 0) -> None:
        number = int(now_s / self._bucket_s)
        self._requests += requests
        self._accepts += accepts
        if self._buckets and self._buckets[-1][0] >= number:
            last, old_requests, old_accepts = self._buckets.pop()
            self._buckets.append((last, old_requests + requests, old_accepts + accepts))
        else:
            self._buckets.append((number, requests, accepts))

    def totals(self, now_s: float) -> tuple[int, int]:
        oldest = int(now_s / self._bucket_s) - _BUCKETS
        while self._buckets and self._buckets[0][0] <= oldest:
            _, requests, accepts = self._buckets.popleft()
            self._requests -= requests
            self._accepts -= accepts
        return self._requests, self._accepts


def _refusal() -> RankRefused:
    sentence = "Not sent: of the last requests the servers refused too many for want of room."
    details = RefusalDetails(kind="overloaded", reason=REASON)
    return RankRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence, details)
