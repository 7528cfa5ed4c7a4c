"""How much more is asked for than can be done: offered work, refused or not, over a second."""

from __future__ import annotations

import math
from dataclasses import dataclass

WINDOW_NS = 1_000_000_000


@dataclass(slots=True)
class Pressure:
    """An exponentially weighted mean of offered work per executor and time."""

    executors: int
    _work_ns: float = 0.0
    _at_ns: int = 0

    def add(self, work_ns: int, now_ns: int) -> None:
        """A request that needs so much executor time is offered."""
        self._work_ns = self._decayed(now_ns) + work_ns
        self._at_ns = now_ns

    def ratio(self, now_ns: int) -> float:
        """Offered work / what the executors can do; 1 = just enough."""
        return self._decayed(now_ns) / (WINDOW_NS * self.executors)

    def _decayed(self, now_ns: int) -> float:
        return self._work_ns * math.exp((self._at_ns - now_ns) / WINDOW_NS)
