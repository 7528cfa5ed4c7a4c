"""A run's mean time as a line over what it costs: run + request · requests + row · rows, in nanoseconds.

A lane whose candidates have lengths counts tokens: there "rows" are tokens throughout, and `row_ns` is what
one takes. A candidate costs next to nothing beside its tokens, and a weight of its own could hardly be told
from theirs: in traffic the two grow together.

Learned by recursive least squares with forgetting, on relative errors: noise grows with a run's size, so an
unweighted fit would listen to the large ones only. Residuals are clipped as Huber's (1964).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

FORGETTING = 0.995
"""Weight kept per run: the last 200 decide. Faster changes are the drift detector's."""
RESIDUAL_MAX = 0.5
"""Of the mean: one odd run does not bend the line."""
DOUBT = 0.1
"""Variance of each relative weight after a fit: 0.3 either way."""
DOUBT_AT_FIRST = 10.0
DOUBT_MAX = 3 * DOUBT
"""Sum over the weights beyond which nothing is forgotten: runs of one size only say nothing of the others,
and forgetting would turn that silence into certainty that anything goes."""
_PASSES = 4
_NS_MIN = 1_000.0
"""A run's mean is never below a microsecond: relative errors need something to be relative to."""


class Point(NamedTuple):
    """One measured run."""

    requests: int
    rows: int
    ns: float


@dataclass(slots=True)
class Line:
    """Weights and how sure of them. `per_request` False: the model has no context, requests cost nothing."""

    run_ns: float
    request_ns: float
    row_ns: float
    per_request: bool = True
    _scales: tuple[float, float, float] = field(init=False)
    _doubt: list[list[float]] = field(init=False)

    def __post_init__(self) -> None:
        self.settle(DOUBT)

    @classmethod
    def fitted(cls, points: Sequence[Point], *, per_request: bool = True) -> Line:
        """Fit a sweep.

        Raises:
            ValueError: there are no points.
        """
        if not points:
            raise ValueError("a cost model needs at least one measured run")
        small, large = min(points, key=_rows), max(points, key=_rows)
        spread = large.rows - small.rows
        row_ns = max((large.ns - small.ns) / spread, 0.0) if spread else large.ns / large.rows / 2
        fixed_ns = max(small.ns - row_ns * small.rows, small.ns * 0.05)
        line = cls(fixed_ns * 0.7, fixed_ns * 0.3 if per_request else 0.0, row_ns, per_request)
        line.settle(DOUBT_AT_FIRST)
        for _ in range(_PASSES):
            for point in points:
                line.learn(point)
        line.settle(DOUBT)
        return line

    def mean_ns(self, requests: int, rows: int) -> float:
        """Mean time of a run."""
        return max(self.run_ns + self.request_ns * requests + self.row_ns * rows, _NS_MIN)

    def learn(self, point: Point) -> None:
        """Take in one run."""
        mean_ns = self.mean_ns(point.requests, point.rows)
        s0, s1, s2 = self._scales
        x0, x1, x2 = s0 / mean_ns, s1 * point.requests / mean_ns, s2 * point.rows / mean_ns
        p = self._doubt
        g0 = p[0][0] * x0 + p[0][1] * x1 + p[0][2] * x2
        g1 = p[1][0] * x0 + p[1][1] * x1 + p[1][2] * x2
        g2 = p[2][0] * x0 + p[2][1] * x1 + p[2][2] * x2
        denominator = FORGETTING + x0 * g0 + x1 * g1 + x2 * g2
        error = min(max(point.ns / mean_ns - 1.0, -RESIDUAL_MAX), RESIDUAL_MAX) / denominator
        # No weight below 0: a larger run is never the cheaper one.
        self.run_ns = max(self.run_ns + s0 * g0 * error, 0.0)
        self.request_ns = max(self.request_ns + s1 * g1 * error, 0.0)
        self.row_ns = max(self.row_ns + s2 * g2 * error, 0.0)
        gains = (g0, g1, g2)
        sure = p[0][0] + p[1][1] + p[2][2] < DOUBT_MAX
        forget = FORGETTING if sure else 1.0
        for row, gain in zip(p, gains, strict=True):
            for at in range(3):
                row[at] = (row[at] - gain * gains[at] / denominator) / forget

    def scale(self, factor: float) -> None:
        """Everything takes `factor` times as long from now on; how long is to be learned anew."""
        self.run_ns *= factor
        self.request_ns *= factor
        self.row_ns *= factor
        self.settle(DOUBT)

    def towards(self, other: Line, share: float) -> None:
        """Go this share of the way to another line."""
        self.run_ns += share * (other.run_ns - self.run_ns)
        self.request_ns += share * (other.request_ns - self.request_ns)
        self.row_ns += share * (other.row_ns - self.row_ns)

    def settle(self, doubt: float) -> None:
        """Take the weights as they are, each with a relative variance of `doubt`."""
        least_ns = (self.run_ns + self.request_ns + 100 * self.row_ns) * 0.02
        self._scales = (
            max(self.run_ns, least_ns),
            max(self.request_ns, least_ns) if self.per_request else 0.0,
            max(self.row_ns, least_ns / 100),
        )
        self._doubt = [[doubt if row == column else 0.0 for column in range(3)] for row in range(3)]


def _rows(point: Point) -> int:
    return point.rows
