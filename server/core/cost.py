"""How long will a run of n rows take: learned, per lane.

time(rows) ≈ ratio · (overhead + row · rows). The line is a least-squares fit with forgetting over finished
runs; `ratio` tracks a high quantile of actual / fitted by adaptive conformal inference (Gibbs and Candès,
2021): a miss raises it by eta·tau, a hit lowers it by eta·(1 - tau), which bounds the long-run miss rate
whatever the distribution. Only runs that finished teach; failures and cancellations never do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

FORGETTING = 0.98
"""Weight kept per run: about the last 50 runs decide the line, so a slow core is learned within a second."""
TAU = 0.99
"""Quantile of actual / fitted that a prediction should cover."""
ETA = 0.1
"""One miss raises the ratio by 0.099, one hit lowers it by 0.001: two misses absorb a 20 % slower clock."""
RATIO_MAX = 4.0
"""Beyond this a run is a stall (a page-in, a stopped process), not the model: counted once, not fitted."""
STALLS_BELIEVED = 5
"""This many stalls in a row are no stalls: the machine has changed."""
DOUBT = 0.02
"""Share of the way to the warm-up's profile that one doubt goes back: 340 bring a 100-fold estimate within
a tenth. More heals sooner, and on a machine that truly is slower it starts more runs that end late."""


@dataclass(slots=True)
class CostModel:
    """Predicts run times of one lane; integer nanoseconds in and out."""

    overhead_ns: float
    row_ns: float
    ratio: float = 1.2
    _stalls: int = 0
    _sums: list[float] = field(default_factory=lambda: [0.0] * 5)  # w, w·x, w·y, w·x², w·x·y
    _profile: tuple[float, float, float] = field(init=False)  # overhead, row and ratio at the start

    def __post_init__(self) -> None:
        self._profile = (self.overhead_ns, self.row_ns, self.ratio)

    @classmethod
    def fitted(cls, points: Sequence[tuple[int, int]]) -> CostModel:
        """Start from a warm-up sweep: (rows, ns) pairs.

        Raises:
            ValueError: there are no points.
        """
        if not points:
            raise ValueError("a cost model needs at least one measured run")
        rows, ns = min(points)
        model = cls(overhead_ns=ns / 2, row_ns=ns / 2 / max(rows, 1))
        for rows, ns in points:
            model._fit(rows, ns)
        model._profile = (model.overhead_ns, model.row_ns, model.ratio)
        return model

    def predict_ns(self, rows: int) -> int:
        """Predicted time of one run of `rows` rows."""
        return math.ceil(self.ratio * (self.overhead_ns + self.row_ns * rows))

    def learn(self, rows: int, actual_ns: int) -> float:
        """Take in a finished run; return actual / predicted."""
        predicted_ns = self.predict_ns(rows)
        observed = actual_ns / max(predicted_ns / self.ratio, 1.0)
        self.ratio += ETA * (TAU if observed > self.ratio else TAU - 1.0)
        self.ratio = min(max(self.ratio, 1.0), RATIO_MAX)
        self._stalls = self._stalls + 1 if observed > RATIO_MAX else 0
        if not self._stalls or self._stalls >= STALLS_BELIEVED:
            self._fit(rows, actual_ns)
        return actual_ns / max(predicted_ns, 1)

    def profile_ns(self, rows: int) -> int:
        """What the model predicted for `rows` rows when it started."""
        overhead_ns, row_ns, ratio = self._profile
        return math.ceil(ratio * (overhead_ns + row_ns * rows))

    def doubt(self) -> None:
        """Believe a little less of what was learned.

        An over-estimate admits nothing, so nothing runs, so nothing teaches: only a refusal can heal it. What
        was measured is dropped as well, so that the next run sets the level by itself.
        """
        overhead_ns, row_ns, ratio = self._profile
        self.overhead_ns += DOUBT * (overhead_ns - self.overhead_ns)
        self.row_ns += DOUBT * (row_ns - self.row_ns)
        self.ratio += DOUBT * (ratio - self.ratio)
        self._sums = [0.0] * 5

    def _fit(self, rows: int, ns: int) -> None:
        w, wx, wy, wxx, wxy = (FORGETTING * s for s in self._sums)
        w, wx, wy, wxx, wxy = w + 1.0, wx + rows, wy + ns, wxx + rows * rows, wxy + rows * ns
        self._sums = [w, wx, wy, wxx, wxy]
        x, y = wx / w, wy / w
        spread = wxx / w - x * x
        if spread > (0.05 * x) ** 2:
            self.row_ns = max((wxy / w - x * y) / spread, 0.0)
            self.overhead_ns = y - self.row_ns * x
            if self.overhead_ns < 0.0:
                self.overhead_ns, self.row_ns = 0.0, y / x
        else:
            # One size only says nothing about the slope: keep the shape, move the level.
            scale = y / max(self.overhead_ns + self.row_ns * x, 1.0)
            self.overhead_ns *= scale
            self.row_ns *= scale
