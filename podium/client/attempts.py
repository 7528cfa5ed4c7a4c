"""One request over its attempts, without I/O: the two clients send what it says and sleep as it says.

The deadline is fixed at the first call and never renewed: each attempt carries what is left, on the wire
(`timeout_us`) and as the RPC's own deadline.
"""

from __future__ import annotations

import math

import grpc

from podium.client.refused import RankRefused
from podium.client.retry import RetryPolicy
from podium.client.throttle import Throttle
from podium.v1 import ranking_pb2 as pb
from podium.v1.refusal import RefusalDetails


class Attempts:
    """The state of one call. Times are seconds of one monotonic clock."""

    def __init__(
        self,
        message: pb.RankRequest,
        deadline_s: float,
        now_s: float,
        policy: RetryPolicy,
        throttle: Throttle | None = None,
    ) -> None:
        """Fix the deadline.

        Args:
            deadline_s: how long the caller will wait, from now.
            throttle: is asked before each attempt, and told of its end.

        Raises:
            ValueError: deadline_s is not above 0 and finite.
        """
        if not 0 < deadline_s < math.inf:
            raise ValueError(f"deadline_s must be above 0 and finite, got {deadline_s}")
        self._message = message
        self._timeout_us = message.timeout_us or math.inf
        self._ends_s = now_s + deadline_s
        self._policy = policy
        self._throttle = throttle
        self._sent = 0
        self.avoid = ""
        """The backend that last refused because it was unready; "" = none."""

    def ask_leave(self, now_s: float, draw: float) -> None:
        """May there be another attempt? `draw` is evenly from [0, 1).

        Raises:
            RankRefused: of kind overloaded; the servers have refused too much lately.
        """
        if self._throttle is None:
            return
        try:
            self._throttle.ask(self._message.importance, now_s, draw)
        except RankRefused as refused:
            self.numbered(refused)
            raise

    def answered(self, now_s: float) -> None:
        """The last attempt has been answered."""
        if self._throttle is not None:
            self._throttle.told(self._message.importance, now_s, None)

    def send(self, now_s: float) -> tuple[bytes, float]:
        """The next attempt: its bytes and its RPC deadline in seconds.

        Raises:
            RankRefused: of kind expired, nothing of the deadline is left.
        """
        remaining_s = self._ends_s - now_s
        remaining_us = math.floor(remaining_s * 1e6)
        if remaining_us < 1:  # 0 on the wire would mean "none"
            raise self.expired()
        self._sent += 1
        self._message.timeout_us = int(min(self._timeout_us, remaining_us))
        return self._message.SerializeToString(), remaining_s

    def remaining_s(self, now_s: float) -> float:
        """What is left of the deadline; negative when it has passed."""
        return self._ends_s - now_s

    def expired(self) -> RankRefused:
        """The refusal of a caller that has waited long enough."""
        when = "an answer came" if self._sent else "the request could be sent"
        message = f"The deadline had passed before {when}."
        details = RefusalDetails(kind="expired")
        return self.numbered(RankRefused(grpc.StatusCode.DEADLINE_EXCEEDED, message, details))

    def wait_s(self, refused: RankRefused, now_s: float, draw: float) -> float:
        """How long to wait before `send`; `draw` is evenly from [0, 1).

        Raises:
            RankRefused: `refused` itself, when there is no further attempt.
        """
        if self._throttle is not None:
            self._throttle.told(self._message.importance, now_s, refused)
        wait_s = self._policy.wait_s(refused, self._sent, self._ends_s - now_s, draw)
        if wait_s is None:
            raise self.numbered(refused)
        self.avoid = refused.backend if refused.kind == "unready" else ""
        return wait_s

    def numbered(self, refused: RankRefused) -> RankRefused:
        """The same refusal, saying how many attempts it took."""
        refused.attempts = self._sent
        return refused
