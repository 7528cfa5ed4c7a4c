"""Time kept free before each deadline, for all that the cost model does not see: the event loop, the
interpreter's lock, the socket.

One step per run by the share of its requests that ended late, by adaptive conformal inference as in `cost`:
in the long run the mean share is at most LATE_SHARE plus something that falls with the number of runs, as
long as SHARE_MAX of the budget is enough to stop being late. Per run, not per request: a stall that catches
fifty requests is one event.
"""

from __future__ import annotations

from dataclasses import dataclass

LATE_SHARE = 0.004
"""What is aimed at; the promise is 0.01."""
STEP = 0.02
"""Of the budget, for a run that was late as a whole."""
SHARE_MAX = 0.3
"""Of the budget."""


@dataclass(slots=True)
class Margin:
    """Of one lane; nanoseconds."""

    budget_ns: int
    least_ns: int
    extra_ns: float = 0.0

    @property
    def ns(self) -> int:
        """What to keep free now."""
        return self.least_ns + int(self.extra_ns)

    def learn(self, late: int, requests: int) -> None:
        """One run has been answered: `late` of its `requests` were."""
        step_ns = STEP * self.budget_ns * (late / max(requests, 1) - LATE_SHARE)
        most_ns = max(SHARE_MAX * self.budget_ns - self.least_ns, 0.0)
        self.extra_ns = min(max(self.extra_ns + step_ns, 0.0), most_ns)
