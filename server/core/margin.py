"""Time kept free before each deadline, for all that the cost model does not see: the event loop, the
interpreter's lock, the socket.

One step per run by the share of its requests that ended late, by adaptive conformal inference as in `cost`:
in the long run the mean share is at most LATE_SHARE plus something that falls with the number of runs, as
long as SHARE_MAX of the budget is enough to stop being late. Per run, not per request: a stall that catches
fifty requests is one event.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.core.cost import HALF_LIFE_NS, SILENCE_NS

LATE_SHARE = 0.002
"""What is aimed at; the promise is 0.01, and the caller counts what happens on the way as well."""
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
    _fed_ns: int | None = None
    _healed_ns: int = 0

    @property
    def ns(self) -> int:
        """What to keep free now."""
        return self.least_ns + int(self.extra_ns)

    def learn(self, late: int, requests: int) -> None:
        """One run has been answered: `late` of its `requests` were."""
        step_ns = STEP * self.budget_ns * (late / max(requests, 1) - LATE_SHARE)
        most_ns = max(SHARE_MAX * self.budget_ns - self.least_ns, 0.0)
        self.extra_ns = min(max(self.extra_ns + step_ns, 0.0), most_ns)

    def fed(self, now_ns: int) -> None:
        """A run that the margin let in has ended."""
        self._fed_ns = now_ns

    def heal(self, now_ns: int) -> None:
        """Believe less of what was learned the longer nothing got in: a margin that leaves no time for any
        request would else never be told that it is too wide."""
        if self._fed_ns is None:
            self._fed_ns = now_ns
        silent_ns = now_ns - max(self._healed_ns, self._fed_ns + SILENCE_NS)
        if self.extra_ns and silent_ns > 0:
            self.extra_ns *= 0.5 ** (silent_ns / HALF_LIFE_NS)
            self._healed_ns = now_ns
