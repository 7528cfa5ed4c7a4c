"""What each executor runs, and when it is predicted to be free."""

from __future__ import annotations

from server.core.decisions import Dispatch, Stuck

STUCK_FACTOR = 4
STUCK_NS_MIN = 50_000_000
"""A run that has taken four times what was predicted, and 50 ms at least, is stuck: nothing is planned behind
it while others run, and who is in it is told as soon as their deadline has passed."""
HOPELESS_NS = 2_000_000_000
"""After so long it is ended by force."""
FAR_NS = 3_600_000_000_000


class Executors:
    """The running dispatches."""

    def __init__(self, count: int) -> None:
        self._running: list[tuple[Dispatch, int] | None] = [None] * count

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, executor: int, dispatch: Dispatch, now_ns: int) -> None:
        """It runs this from now on."""
        assert self._running[executor] is None, "an executor asks for work while it runs"
        self._running[executor] = (dispatch, now_ns)

    def end(self, executor: int) -> Dispatch:
        """It has run it."""
        running = self._running[executor]
        assert running is not None, "an executor completed a run that was never dispatched"
        self._running[executor] = None
        return running[0]

    def busy(self) -> int:
        """How many run."""
        return sum(running is not None for running in self._running)

    def free_ns(self, now_ns: int) -> list[int]:
        """When each is predicted to be free, ascending.

        An overdue run is taken to need as long again as it is overdue; a stuck one never ends, as long as
        another executor does.
        """
        if len(self._running) == 1:
            return [self._end_ns(self._running[0], now_ns)]
        ends = sorted(self._end_ns(running, now_ns) for running in self._running)
        stuck = {entry.executor for entry in self.stuck(now_ns)}
        if stuck and len(stuck) < len(ends):
            ends = sorted(
                now_ns + FAR_NS if executor in stuck else self._end_ns(running, now_ns)
                for executor, running in enumerate(self._running)
            )
        return ends

    def stuck(self, now_ns: int) -> tuple[Stuck, ...]:
        """The runs that have taken too long to be believed in."""
        found = []
        for executor, running in enumerate(self._running):
            if running is not None:
                dispatch, started_ns = running
                took_ns = now_ns - started_ns
                if took_ns > max(STUCK_FACTOR * dispatch.predicted_ns, STUCK_NS_MIN):
                    found.append(Stuck(executor, dispatch, took_ns > HOPELESS_NS))
        return tuple(found)

    def _end_ns(self, running: tuple[Dispatch, int] | None, now_ns: int) -> int:
        if running is None:
            return now_ns
        dispatch, started_ns = running
        end_ns = started_ns + dispatch.predicted_ns
        if now_ns > end_ns:
            end_ns = now_ns + max(dispatch.predicted_ns // 4, now_ns - end_ns)
        return end_ns
