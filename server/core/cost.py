"""How long will a run take: learned, per lane.

time = line(requests, rows) · stretch · ratio; a lane may count tokens for rows (`Part.load`). Three
questions, asked apart, because they have different answers on a core that others use as well:

- `line`: the executor's CPU time, a property of the model and the machine.
- `stretch`: wall / CPU, a property of the neighbours: of the sums over the last fifth of a second, for what a
  neighbour takes it takes from few runs, and much of them.
- `ratio`: a high quantile of (actual - ALLOWANCE) / (line · stretch) per size group, by adaptive conformal
  inference (Gibbs and Candès, 2021): a miss raises it by eta·tau, a hit lowers it by eta·(1 - tau). So,
  whatever the distribution, in the long run a share of at most 1 - tau + (RATIO_MAX + eta) / (eta · n) of n
  runs takes longer than predicted and allowed for.

The allowance is what a neighbour can take at once. It is kept free once before each deadline (the margin),
not once per run: twenty small runs are not interrupted twenty times.

Only runs that finished teach; failures and cancellations never do. A stall is one miss and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from server.core.decisions import RunTime
from server.core.drift import Drift
from server.core.line import Line, Point

TAU = 0.95
"""Quantile of actual / mean that a prediction should cover. Not 0.99: a plan adds up several runs, and what
one of them takes too long is the margin's to cover (docs/decisions.md, the plan)."""
ETA = 0.1
"""One miss raises the ratio by 0.095, one hit lowers it by 0.005: two misses absorb a 19 % slower clock."""
RATIO_MAX = 4.0
ALLOWANCE_NS = 1_000_000
STALL_NS_MIN = 20_000_000
"""A run that takes RATIO_MAX times what was predicted, and so much longer, is a stall (a page-in, a stopped
process), not the model: counted once, not fitted."""
STALLS_BELIEVED = 5
"""This many stalls in a row are no stalls: the machine has changed."""
STRETCH_MAX = 8.0
STRETCH_WINDOW_NS = 200_000_000
GROUPS_NS = (1_000_000.0, 4_000_000.0)
"""Mean times that divide small, medium and large runs: a neighbour's 0.3 ms is much of the first only."""
SILENCE_NS = 5_000_000_000
HALF_LIFE_NS = 5_000_000_000
"""After so long without a run, what was learned loses half of its distance to the warm-up's in so long."""
HEAL_GAP_NS = 50_000_000
PROBE_NS_MIN = 100_000_000
PROBE_NS_MAX = 5_000_000_000


@dataclass(slots=True)
class CostModel:
    """Predicts run times of one lane; integer nanoseconds in and out."""

    line: Line
    ratios: list[float] = field(default_factory=lambda: [1.2] * (len(GROUPS_NS) + 1))
    stretch: float = 1.0
    runs: int = 0
    """Runs that taught."""
    stalls: int = 0
    drifts: int = 0
    _stalled: int = 0  # in a row
    _wall_ns: float = 0.0  # of the runs within the window, the older the less
    _cpu_ns: float = 0.0
    _drift: Drift = field(default_factory=Drift)
    _taught_ns: int | None = None
    _believed_ns: list[int | None] = field(default_factory=lambda: [None] * (len(GROUPS_NS) + 1))
    _healed_ns: int = 0
    _heal_due_ns: int = 0
    _probe_gap_ns: int = PROBE_NS_MIN
    _probe_due_ns: int = 0
    _profile: Line = field(init=False)
    _profile_ratios: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self._profile = replace(self.line)
        self._profile_ratios = list(self.ratios)

    @classmethod
    def fitted(cls, points: Sequence[Point], *, per_request: bool = True) -> CostModel:
        """Start from a warm-up sweep.

        Raises:
            ValueError: there are no points.
        """
        return cls(Line.fitted(points, per_request=per_request))

    def predict_ns(self, requests: int, rows: int) -> int:
        """Predicted time of one run."""
        return math.ceil(self.stretch * self._cautious(self.line.mean_ns(requests, rows)))

    def expect_ns(self, requests: int, rows: int) -> int:
        """The same without caution: what many runs take on average."""
        return math.ceil(self.stretch * self.line.mean_ns(requests, rows))

    def alone_ns(self, requests: int, rows: int) -> int:
        """The same with the machine to itself: no server can promise less."""
        return math.ceil(self.line.mean_ns(requests, rows))

    def profile_ns(self, requests: int, rows: int) -> int:
        """What the warm-up would say, without any caution: what a probe may take."""
        return math.ceil(self._profile.mean_ns(requests, rows))

    def shared_ns(self) -> float:
        """What two runs save by being one: its fixed part."""
        return self.line.run_ns * self.stretch

    def learn(self, requests: int, rows: int, run: RunTime, now_ns: int, *, probe: bool = False) -> float:
        """Take in a finished run; return actual / predicted."""
        predicted_ns = self.predict_ns(requests, rows)
        mean_ns = self.line.mean_ns(requests, rows)
        cpu_ns = run.wall_ns if run.cpu_ns is None else min(run.cpu_ns, run.wall_ns)
        observed = (run.wall_ns - ALLOWANCE_NS) / (mean_ns * self.stretch)
        group = _group(mean_ns)
        ratio = self.ratios[group] + ETA * (TAU if observed > self.ratios[group] else TAU - 1.0)
        self.ratios[group] = min(max(ratio, 1.0), RATIO_MAX)
        self._taught_ns = now_ns
        if not probe:
            self._believed_ns[group] = now_ns
        elif observed < self.ratios[group]:
            self._doubt(group)
        self.runs += 1
        stalled = run.wall_ns > max(RATIO_MAX * predicted_ns, predicted_ns + STALL_NS_MIN)
        self._stalled = self._stalled + 1 if stalled else 0
        if self._stalled and self._stalled < STALLS_BELIEVED:
            self.stalls += 1
        else:
            self._fit(Point(requests, rows, cpu_ns))
            self._stretch(run.wall_ns, cpu_ns)
        return run.wall_ns / max(predicted_ns, 1)

    def heal(self, now_ns: int) -> None:
        """Believe less of what was learned the longer nothing has run; of a ratio, nothing of its size.

        An over-estimate admits nothing, so nothing runs, so nothing teaches. A probe does not end the silence
        of its size: it got in in spite of the ratio, and one run says little about a high quantile.
        """
        if now_ns < self._heal_due_ns:
            return
        self._heal_due_ns = now_ns + HEAL_GAP_NS
        before_ns, self._healed_ns = self._healed_ns, now_ns
        if self._taught_ns is None:
            self._taught_ns = now_ns
        share = _forgotten(self._taught_ns, before_ns, now_ns)
        if share:
            self.line.towards(self._profile, share)
            self.stretch += share * (1.0 - self.stretch)
            self._wall_ns = self._cpu_ns = 0.0
        for group, start in enumerate(self._profile_ratios):
            since_ns = self._believed_ns[group]
            if since_ns is None:
                since_ns = self._believed_ns[group] = now_ns
            self.ratios[group] += _forgotten(since_ns, before_ns, now_ns) * (start - self.ratios[group])

    def _doubt(self, group: int) -> None:
        """A run that was said to be hopeless was not: go half of the way back to the warm-up's caution.

        By hits alone a ratio of 4 needs thousands of runs to come down, and it admits none.
        """
        ratio, start = self.ratios[group], self._profile_ratios[group]
        self.ratios[group] = min(ratio, (ratio + start) / 2)

    def may_probe(self, now_ns: int) -> bool:
        """Whether it is time to try what the model says cannot be done."""
        return now_ns >= self._probe_due_ns

    def begin_probe(self, now_ns: int) -> None:
        """A probe starts; the next one has to wait."""
        self._probe_due_ns = now_ns + self._probe_gap_ns

    def end_probe(self, *, in_time: bool) -> None:
        """If it ended in time the model errs, and may be tried often; else it was right, and seldom."""
        self._probe_gap_ns = PROBE_NS_MIN if in_time else min(2 * self._probe_gap_ns, PROBE_NS_MAX)

    def state(self) -> dict[str, Any]:
        """What was learned, as plain numbers, to keep or to show."""
        return {
            "run_ns": self.line.run_ns,
            "request_ns": self.line.request_ns,
            "row_ns": self.line.row_ns,
            "ratios": list(self.ratios),
            "stretch": self.stretch,
            "runs": self.runs,
            "stalls": self.stalls,
            "drifts": self.drifts,
        }

    def resume(self, line: Line, ratios: Sequence[float]) -> None:
        """Begin with what an earlier process learned; the warm-up stays what silence leads back to."""
        self.line.towards(line, 1.0)
        self.line.settle(0.1)
        self.ratios[:] = [min(max(ratio, 1.0), RATIO_MAX) for ratio in ratios]

    def _cautious(self, mean_ns: float) -> float:
        """Mean times ratio; a larger run is never foreseen to be shorter, whatever its group's ratio."""
        ratios = self.ratios
        ns = ratios[_group(mean_ns)] * mean_ns
        if mean_ns >= GROUPS_NS[0]:
            ns = max(ns, ratios[0] * GROUPS_NS[0])
            if mean_ns >= GROUPS_NS[1]:
                ns = max(ns, ratios[1] * GROUPS_NS[1])
        return ns

    def _fit(self, point: Point) -> None:
        factor = self._drift.see(point.ns / self.line.mean_ns(point.requests, point.rows))
        if factor is not None:
            self.line.scale(factor)
            self.drifts += 1
        else:
            self.line.learn(point)

    def _stretch(self, wall_ns: int, cpu_ns: int) -> None:
        kept = max(1.0 - wall_ns / STRETCH_WINDOW_NS, 0.0)
        self._wall_ns = kept * self._wall_ns + wall_ns
        self._cpu_ns = kept * self._cpu_ns + cpu_ns
        self.stretch = min(max(self._wall_ns / max(self._cpu_ns, 1.0), 1.0), STRETCH_MAX)


def _forgotten(taught_ns: int, healed_ns: int, now_ns: int) -> float:
    """Share of what was learned to give up now, given when it was last taught and last forgotten."""
    silent_ns = now_ns - max(healed_ns, taught_ns + SILENCE_NS)
    return 1.0 - 0.5 ** (silent_ns / HALF_LIFE_NS) if silent_ns > 0 else 0.0


def _group(mean_ns: float) -> int:
    return 0 if mean_ns < GROUPS_NS[0] else 1 if mean_ns < GROUPS_NS[1] else 2
