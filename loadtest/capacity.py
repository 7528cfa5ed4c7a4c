"""The largest rate at which the promise holds for everyone who asks, as an interval.

A server that refuses what it cannot do in time keeps its budget at any load; its capacity is what it can do.
So
here, and only here, a refusal and a degraded answer break the promise too: capacity is the largest offered
rate at which the slo's share of all *scheduled* requests is fully scored within budget.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from loadtest.plan import CalibrationFor, prepare
from loadtest.result import Run
from loadtest.run import execute
from loadtest.scenario.form import Closed, Phase, Poisson, Quality, Scenario
from loadtest.stats.binomial import decide, requests_for_verdict
from loadtest.stats.isotonic import crossing, estimate
from loadtest.verdict import Verdict

PROBE_S: Final = 5.0
IN_FLIGHT: Final = 16
"""Of the closed-loop probe: enough to keep a batching server busy, few enough to be admitted."""
GRID: Final = 1.03
"""Rates are powers of it: the search stops at neighbours, ±3 %."""
FACTOR: Final = 1.25
START_SHARE: Final = 0.7
"""Of the closed-loop ceiling: about where the knee of a batching server is."""
REPEATS: Final = 3
"""Of the two rates beside the knee."""
STEPS_MAX: Final = 24
TRIES: Final = 3
"""Of a rate at which a guard tripped: a neighbour's burst passes, a client that is too slow stays so."""
WARM_UP_S: Final = 1.0

Say = Callable[[str], None]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One rate, tried once.

    Attributes:
        broken: scheduled requests that were not fully scored within budget.
    """

    rate_per_s: float
    scheduled: int
    broken: int
    p99_ms: float | Literal["inf"] | None
    verdict: Verdict
    sentence: str


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as in `capacity.json`.

    Attributes:
        low_per_s, high_per_s: 95 % interval of the rate at which the allowed share is crossed; None = not
        bounded
            by the rates tried.
        estimate_per_s: where the isotonic fit of the steps crosses it; None = it does not.
        passed_per_s: largest rate that passed the verdict's test; None = none did.
        ceiling_per_s: of the closed-loop probe, whatever the latency.
        replicas: of a fleet for so many requests per second, with the scenario's headroom; empty without
        costs.
        usd_per_million: with the scenario's price and headroom; None without costs.
    """

    schema: Literal["podium-loadtest-capacity"] = "podium-loadtest-capacity"
    scenario: Scenario
    low_per_s: float | None
    high_per_s: float | None
    estimate_per_s: float | None
    passed_per_s: float | None
    ceiling_per_s: float
    steps: list[Step]
    usd_per_million: float | None
    replicas: dict[int, int]


class Aborted(Exception):
    """The search could not go on. One sentence; what was measured so far is in `steps`."""

    def __init__(self, sentence: str, *, interrupted: bool = False) -> None:
        super().__init__(sentence)
        self.interrupted = interrupted
        self.steps: list[Step] = []


def measure(base: Scenario, step_s: float, calibration_for: CalibrationFor, say: Say) -> Capacity:
    """Find it: closed-loop probe, geometric bracket, bisection on a grid, repetitions at the knee.

    Args:
        step_s: measured seconds per rate.
        say: told each step.

    Raises:
        BadPlan, RunFailed: as a run.
        Aborted: the client, not the server, is the limit, or no knee is found.
    """
    once = msgspec.structs.replace(base.slo, looks_max=1)
    quiet = msgspec.structs.replace(base, slo=once, quality=Quality(sample=0.0, reference=False))
    # Complete, since the result says which promise it is about.
    base = prepare(msgspec.structs.replace(quiet, rate_per_s=1.0), calibration_for).scenario
    ceiling_per_s = _ceiling(base, calibration_for)
    say(f"closed loop, {IN_FLIGHT} in flight: {ceiling_per_s:.0f} answers/s")
    seeds = itertools.count(base.workload.seed)

    def at(rate_per_s: float) -> Step:
        step = _step(base, rate_per_s, step_s, next(seeds), calibration_for)
        say(f"{step.rate_per_s:.0f}/s: {step.verdict.name}, {step.sentence}")
        return step

    return summarise(base, ceiling_per_s, search(at, ceiling_per_s * START_SHARE))


def search(at: Callable[[float], Step], start_per_s: float) -> list[Step]:
    """Every step of the search, in the order in which it was taken.

    Args:
        at: tries a rate.
        start_per_s: where to begin; any rate will do, a good guess saves steps.

    Raises:
        Aborted: no rate passes, or the target's behaviour is not one of its load.
    """
    steps: list[Step] = []
    try:
        _search(at, start_per_s, steps)
    except Aborted as aborted:
        aborted.steps = steps
        raise
    return steps


def _search(at: Callable[[float], Step], start_per_s: float, steps: list[Step]) -> None:
    def held(power: int) -> bool:
        """Undecided counts as not."""
        if len(steps) >= STEPS_MAX:
            raise Aborted(f"no knee after {STEPS_MAX} rates: what the target does is not decided by its load")
        steps.append(at(GRID**power))
        return steps[-1].verdict is Verdict.PASS

    low, high = _bracket(held, round(math.log(max(start_per_s, 1.0), GRID)))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if held(middle) else (low, middle)
    steps += [at(GRID**power) for _ in range(REPEATS - 1) for power in (low, high)]


def _bracket(held: Callable[[int], bool], power: int) -> tuple[int, int]:
    """A rate that held and a higher one that did not, as powers of GRID."""
    stride = round(math.log(FACTOR, GRID))
    if held(power):
        while held(power + stride):
            power += stride
        return power, power + stride
    while not held(power - stride):
        power -= stride
        if power < stride:
            raise Aborted("no rate passes, down to one request per second")
    return power - stride, power


def _ceiling(base: Scenario, calibration_for: CalibrationFor) -> float:
    loop = Phase(name="ceiling", duration_s=PROBE_S, arrivals=Closed(in_flight=IN_FLIGHT))
    run = execute(prepare(msgspec.structs.replace(base, phases=(loop,)), calibration_for)).run
    if run.interrupted_after_s is not None:
        raise Aborted("interrupted before the first rate", interrupted=True)
    return run.summary.answered_per_s


def _step(base: Scenario, rate: float, step_s: float, seed: int, calibration_for: CalibrationFor) -> Step:
    scenario = msgspec.structs.replace(
        base,
        rate_per_s=rate,
        workload=msgspec.structs.replace(base.workload, seed=seed),
        phases=(
            Phase(name="warm-up", duration_s=WARM_UP_S, measure=False),
            Phase(name="step", duration_s=max(step_s, _needed(base) / rate), arrivals=Poisson()),
        ),
    )
    plan = prepare(scenario, calibration_for)
    for _ in range(TRIES):
        run = execute(plan).run
        if run.interrupted_after_s is not None:
            raise Aborted(f"interrupted at {rate:.0f}/s", interrupted=True)
        if run.judgement.verdict is not Verdict.INVALID:
            return _judged(run)
    raise Aborted(f"the client, not the server, is the limit at {rate:.0f}/s: {run.judgement.sentence}")


def _needed(base: Scenario) -> float:
    """Requests with which a rate that breaks half of what it may is likely to pass."""
    allowed = 1 - base.slo.percentile / 100
    return requests_for_verdict(allowed / 2, allowed, base.slo.confidence) or 0


def _judged(run: Run) -> Step:
    numbers, slo = run.summary, run.scenario.slo
    good = round(numbers.goodput_per_s * run.phases[-1].duration_s)
    broken = numbers.scheduled - good
    verdict = decide(numbers.scheduled, broken, 1 - slo.percentile / 100, 1 - slo.confidence)
    return Step(
        rate_per_s=run.scenario.rate_per_s,
        scheduled=numbers.scheduled,
        broken=broken,
        p99_ms=numbers.latency.p99_ms,
        verdict=verdict,
        sentence=f"{broken} of {numbers.scheduled} not fully scored in budget "
        f"({broken / numbers.scheduled:.2%})",
    )


def summarise(base: Scenario, ceiling_per_s: float, steps: Sequence[Step]) -> Capacity:
    """The interval, the price and the fleet that follow from the steps."""
    allowed = 1 - base.slo.percentile / 100
    tried = [(step.rate_per_s, step.scheduled, step.broken) for step in steps]
    low, high = crossing(tried, allowed)
    passed = [step.rate_per_s for step in steps if step.verdict is Verdict.PASS]
    failed = [step.rate_per_s for step in steps if step.verdict is not Verdict.PASS]
    sure = [rate for rate in passed if rate < min(failed, default=math.inf)]
    usable = max(sure, default=0.0) * (base.cost.headroom if base.cost else 1.0)
    priced = base.cost is not None and usable > 0
    return Capacity(
        scenario=base,
        low_per_s=low,
        high_per_s=high,
        estimate_per_s=estimate(tried, allowed),
        passed_per_s=max(sure, default=None),
        ceiling_per_s=ceiling_per_s,
        steps=list(steps),
        # Prices and fleets after the usual rule of thumb; N replicas serve at most N times one (imbalance).
        usd_per_million=1e6 * base.cost.usd_per_hour / (3600 * usable) if base.cost and priced else None,
        replicas={rate: math.ceil(rate / usable) + 1 for rate in (100, 1000, 10_000)} if priced else {},
    )
