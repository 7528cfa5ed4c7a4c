"""Part `capacity`: C(D) by calculation beside what the server does, in two definitions.

(a) the largest offered rate at which 99 % of all who ask are fully scored in budget. Poisson arrivals bunch,
    and a bunch larger than the budget loses somebody whatever the scheduler: the bound is simulated.
(b) goodput at saturation, with 1.2 x C(D) offered and the budget kept: what loads are multiples of.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from benchmarks.overload import costs, law, lossy_queue, run_times
from benchmarks.overload.costs import Costs
from benchmarks.overload.law import Law
from benchmarks.overload.load import SECONDS_MIN, Offer, Stretch, drive
from benchmarks.overload.point import Point, Reference, point
from benchmarks.overload.run_times import RunTimes
from benchmarks.overload.workloads import Workload
from benchmarks.server_process import ServerProcess
from loadtest.stats.isotonic import crossing, estimate

SATURATION: Final = 1.2
"""Offered, in multiples of C(D)."""
SATURATED: Final = 0.97
"""Of the offered: a server that serves more is not full."""
DROWNED: Final = 0.5
"""Of C(D): a server that serves less at 1.2 x C(D) is looked at with less."""
TRIES_MAX: Final = 10
LADDER: Final = (0.45, 0.6, 0.75, 0.9, 1.05)
"""Rates tried for definition (a), in multiples of the queueing bound."""
ALLOWED: Final = 0.01


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How long to measure.

    Attributes:
        raw_s: raw runs.
        cost_s: each stretch that front end and refusals are measured in.
        admitted: at saturation.
        asked: per rate of definition (a); 0 = leave it out.
    """

    raw_s: float = 12.0
    cost_s: float = 4.0
    admitted: int = 4000
    asked: int = 1000


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one workload's capacity stands on.

    Attributes:
        mixed, mean: C(D) for requests of the mix, and for requests that all have the mean size.
        saturation: the point with 1.2 x C(D) offered; its goodput is capacity (b).
        served_ms: s, core time per served request, at saturation.
        steps: definition (a): [offered per s, scheduled, not fully scored in budget].
        all_low_per_s, all_high_per_s, all_per_s: definition (a), interval and estimate.
        first_come_per_s, fewest_per_s: what queueing allows in definition (a), see `lossy_queue`.
    """

    workload: str
    times: RunTimes
    costs: Costs
    mixed: Law
    mean: Law
    saturation: Point
    served_ms: float
    steps: list[tuple[float, int, int]]
    all_low_per_s: float | None
    all_high_per_s: float | None
    all_per_s: float | None
    first_come_per_s: float
    fewest_per_s: float

    @property
    def reference(self) -> Reference:
        """What loads are multiples of."""
        return Reference(
            per_s=self.saturation.goodput_per_s,
            rows_per_s=self.saturation.goodput_rows_per_s,
            law_rows_per_s=self.mixed.per_s * self.times.candidates_mean,
            refusal_ratio=max(self.costs.refused_ms, 0.0) / self.served_ms,
        )

    @property
    def ratio(self) -> float:
        """Capacity (b) over C(D)."""
        return self.saturation.goodput_per_s / self.mixed.per_s

    @property
    def work_ratio(self) -> float:
        """The same in candidates per second: what is left when small requests are no advantage."""
        return self.saturation.goodput_rows_per_s / (self.mixed.per_s * self.times.candidates_mean)


def measure(work: Workload, effort: Effort) -> Capacity:
    """Raw runs, costs, then the server itself.

    Raises:
        RuntimeError: not even one request fits the budget, or a stretch was too short to be read.
    """
    times = run_times.measure(work, effort.raw_s)
    spent = costs.measure(work, times, effort.cost_s)
    mixed, mean = (
        law.capacity(runs, spent.front_end_ms, spent.overhead_ms, work.budget_ms)
        for runs in (times.mixed_ms, times.mean_ms)
    )
    if not mixed.batch:
        raise RuntimeError(f"{work.name}: not even one request fits {work.budget_ms:g} ms twice")
    bounds = _bounds(times, spent, mixed, work.budget_ms)
    server = ServerProcess.start(work.models, work.sets)
    try:
        offer, saturated = _saturated(server, work, mixed.per_s, effort.admitted)
        steps = _steps(server, work, max(bounds), effort.asked)
    finally:
        server.stop()
    low, high = crossing(steps, ALLOWED) if steps else (None, None)
    rows_per_s = mixed.per_s * times.candidates_mean
    nominal = Reference(
        per_s=mixed.per_s, rows_per_s=rows_per_s, law_rows_per_s=rows_per_s, refusal_ratio=0.0
    )
    found = point(work, offer, saturated, nominal, 1.0)
    return Capacity(
        workload=work.name,
        times=times,
        costs=spent,
        mixed=mixed,
        mean=mean,
        saturation=found,
        served_ms=_served_ms(saturated, spent.refused_ms),
        steps=steps,
        all_low_per_s=low,
        all_high_per_s=high,
        all_per_s=estimate(steps, ALLOWED) if steps else None,
        first_come_per_s=bounds[0],
        fewest_per_s=bounds[1],
    )


def _bounds(times: RunTimes, spent: Costs, best: Law, budget_ms: float) -> tuple[float, float]:
    """Definition (a) with these service times and free refusals: first come, and the best choice."""
    alone_ms = np.array([ms + spent.front_end_ms for _, ms in times.sizes])
    # Batches may be cheaper than single runs: nobody is denied the best rate that there is.
    service_ms = (alone_ms * min(1e3 / best.per_s / alone_ms.mean(), 1.0)).tolist()
    left_ms = budget_ms - spent.overhead_ms
    return (
        lossy_queue.largest_rate(lossy_queue.first_come, service_ms, left_ms, ALLOWED),
        lossy_queue.largest_rate(lossy_queue.fewest, service_ms, left_ms, ALLOWED),
    )


def _saturated(server: ServerProcess, work: Workload, per_s: float, admitted: int) -> tuple[Offer, Stretch]:
    """1.2 x C(D); more where the server does more than C(D) says; less where so much only drowns it.

    C(D) counts what a message costs when many come at once, and no refusal: for models that cost next to
    nothing beside it, 1.2 x C(D) is a flood in which the core says no and does little else. There the best
    goodput on the way down counts.
    """
    seconds, rate = max(admitted / per_s, SECONDS_MIN), SATURATION * per_s
    tried: list[tuple[float, Offer, Stretch]] = []
    for _ in range(TRIES_MAX):
        offer = Offer(rate, seconds)
        stretch = drive(server, work, offer)
        numbers = stretch.outcome.run.phases[-1].numbers
        tried.append((numbers.goodput_per_s, offer, stretch))
        if numbers.goodput_per_s >= SATURATED * numbers.offered_per_s:
            if len(tried) > 1 and rate < tried[-2][1].rate_per_s:
                break  # on the way down: less would only be less
            rate *= SATURATION
        elif max(found for found, _, _ in tried) < DROWNED * per_s:
            rate /= SATURATION
        else:
            break
    return max(tried, key=lambda one: one[0])[1:]


def _steps(
    server: ServerProcess, work: Workload, bound_per_s: float, asked: int
) -> list[tuple[float, int, int]]:
    """Rates around the bound, each with how many of how many were not fully scored in budget."""
    steps = []
    for number, share in enumerate(LADDER if asked else ()):
        rate = share * bound_per_s
        phase = drive(server, work, Offer(rate, asked / rate, seed=number)).outcome.run.phases[-1]
        good = round(phase.numbers.goodput_per_s * phase.duration_s)
        steps.append((rate, phase.numbers.scheduled, phase.numbers.scheduled - good))
    return steps


def _served_ms(stretch: Stretch, refused_ms: float) -> float:
    """s: the core's time at saturation, less what refusals took, per answer."""
    cpu_s, answered, refused = costs.counted(stretch)
    if not answered:
        raise RuntimeError("nothing was answered at saturation")
    return (1e3 * cpu_s - refused * refused_ms) / answered
