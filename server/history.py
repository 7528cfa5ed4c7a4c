"""The last minute, from what the counters said at each of its seconds: rates and quantiles over windows.

Rule: nothing here is on a request's way. A thread copies the accumulators once a second (`Metrics` stays
as it is), and whoever asks for a window gets the difference of two copies.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from server.metrics import Counter, Labels, Metrics

SAMPLE_S = 1.0
WINDOWS_S = (10, 60)
"""Over which rates and quantiles are told: what happens now, and what is usual."""

Totals = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters at one instant, per model.

    Attributes:
        at_ns: monotonic.
        answers: counts per bucket of the time to answer, not cumulative.
        refusals: by (model, reason).
    """

    at_ns: int
    answers: dict[str, list[int]] = field(default_factory=dict)
    late: Totals = field(default_factory=dict)
    admitted: Totals = field(default_factory=dict)
    violations: Totals = field(default_factory=dict)
    refusals: dict[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quantile:
    """An estimate from a histogram: the true value lies between two bounds of the ladder, in seconds.

    Attributes:
        value_s: interpolated, as Prometheus' histogram_quantile does it.
        high_s: None = above the ladder.
    """

    value_s: float
    low_s: float
    high_s: float | None


@dataclass(frozen=True, slots=True)
class Window:
    """What one model did over the last seconds.

    Attributes:
        seconds: what the window really spans; less than asked for while the server is young.
        in_time: answered before the deadline.
        admitted, violations: the SLI's two counters.
    """

    seconds: float
    answered: int
    in_time: int
    admitted: int
    violations: int
    p50: Quantile | None
    p99: Quantile | None
    refusals: dict[str, int]


class History:
    """Samples of the last minute; written by one thread, read by any."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._samples: deque[Sample] = deque([self._sample()], maxlen=int(max(WINDOWS_S) / SAMPLE_S) + 1)
        self._stop = threading.Event()

    def start(self) -> None:
        """Sample once a second from now on."""
        threading.Thread(target=self._keep, name="history", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()

    def take(self) -> None:
        """Sample now."""
        self._samples.append(self._sample())

    def window(self, model: str, seconds: float) -> Window:
        """What happened over the last seconds, as far as is known."""
        now = self._sample()
        since_ns = now.at_ns - int((seconds + SAMPLE_S / 2) * 1e9)
        samples = list(self._samples)
        then = next((sample for sample in samples if sample.at_ns >= since_ns), samples[-1])
        return difference(model, then, now, self._metrics.request_duration.bounds)

    def _keep(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.take()

    def _sample(self) -> Sample:
        metrics = self._metrics
        return Sample(
            time.monotonic_ns(),
            {labels[0]: list(counts) for labels, counts in list(metrics.request_duration.counts.items())},
            {labels[0]: float(sum(counts)) for labels, counts in list(metrics.late.counts.items())},
            _by_model(metrics.budget_requests),
            _by_model(metrics.budget_violations),
            {
                (model, reason): count
                for (model, _, reason), count in list(metrics.refusals.values.items())
                if count
            },
        )


def difference(model: str, then: Sample, now: Sample, bounds: Sequence[float]) -> Window:
    """What one model did between two samples."""
    zeros = [0] * (len(bounds) + 1)
    counts = [
        after - before
        for after, before in zip(now.answers.get(model, zeros), then.answers.get(model, zeros), strict=True)
    ]
    late = now.late.get(model, 0.0) - then.late.get(model, 0.0)
    refusals = {
        reason: int(count - then.refusals.get((name, reason), 0.0))
        for (name, reason), count in now.refusals.items()
        if name == model
    }
    return Window(
        seconds=(now.at_ns - then.at_ns) / 1e9,
        answered=sum(counts),
        in_time=max(sum(counts) - int(late), 0),
        admitted=int(now.admitted.get(model, 0.0) - then.admitted.get(model, 0.0)),
        violations=int(now.violations.get(model, 0.0) - then.violations.get(model, 0.0)),
        p50=quantile(counts, bounds, 0.5),
        p99=quantile(counts, bounds, 0.99),
        refusals={reason: count for reason, count in refusals.items() if count},
    )


def quantile(counts: Sequence[int], bounds: Sequence[float], share: float) -> Quantile | None:
    """The quantile of a histogram, linear inside its bucket; None = nothing was counted.

    Args:
        counts: per bucket, not cumulative, one more than there are bounds.
        bounds: upper bounds, seconds, ascending.
    """
    cumulative = list(accumulate(counts))
    if not cumulative[-1]:
        return None
    rank = share * cumulative[-1]
    at = bisect_left(cumulative, rank)
    low = bounds[at - 1] if at else 0.0
    if at == len(bounds):
        return Quantile(low, low, None)
    inside = (rank - (cumulative[at] - counts[at])) / counts[at]
    return Quantile(low + (bounds[at] - low) * inside, low, bounds[at])


def _by_model(counter: Counter) -> Totals:
    totals: Totals = {}
    items: list[tuple[Labels, float]] = list(counter.values.items())
    for labels, count in items:
        totals[labels[0]] = totals.get(labels[0], 0.0) + count
    return totals
