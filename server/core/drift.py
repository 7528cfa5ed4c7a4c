"""Has the machine changed? Page's cumulative sums (1954) over log(actual / mean), one for each direction."""

from __future__ import annotations

import math
from dataclasses import dataclass

ALLOWANCE = 0.25
"""Deviations below a quarter add nothing: they are the regression's to follow, or a cold cache's."""
ALARM = 4.0
STEP_MAX = 1.0
"""What one run can add: six runs that took e times as long raise the alarm, five do not."""


@dataclass(slots=True)
class Drift:
    """Sums of deviations upwards and downwards, and their means since each sum was last zero."""

    _up: float = 0.0
    _down: float = 0.0
    _ups: int = 0
    _downs: int = 0
    _log_up: float = 0.0
    _log_down: float = 0.0

    def see(self, ratio: float) -> float | None:
        """Take in actual / mean of one run; the factor by which all has changed, once that is clear."""
        log = math.log(max(ratio, 1e-6))
        step = min(max(log, -STEP_MAX), STEP_MAX)
        self._up, self._ups, self._log_up = _add(self._up, self._ups, self._log_up, step, log)
        self._down, self._downs, self._log_down = _add(self._down, self._downs, self._log_down, -step, log)
        if self._up > ALARM:
            return self._alarm(self._log_up / self._ups)
        if self._down > ALARM:
            return self._alarm(self._log_down / self._downs)
        return None

    def _alarm(self, log: float) -> float:
        self._up = self._down = self._log_up = self._log_down = 0.0
        self._ups = self._downs = 0
        return math.exp(log)


def _add(total: float, count: int, logs: float, step: float, log: float) -> tuple[float, int, float]:
    total += step - ALLOWANCE
    return (total, count + 1, logs + log) if total > 0.0 else (0.0, 0, 0.0)
