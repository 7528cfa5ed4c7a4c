"""What a plan would do, in words; nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from loadtest.plan import Plan
from loadtest.scenario.form import DOORS, Closed
from loadtest.schedule.build import budgets_ms
from loadtest.stats.binomial import requests_for_verdict, requests_min


def describe(plan: Plan) -> Iterator[str]:
    """Lines for the terminal."""
    scenario, facts, slo = plan.scenario, plan.facts, plan.scenario.slo
    yield f"scenario    {scenario.name}: {scenario.description}"
    yield f"target      {scenario.target.kind} {scenario.target.address}".rstrip()
    yield f"door        {DOORS[scenario.target.transport]}"
    yield (
        f"promise     p{slo.percentile:g} within {', '.join(f'{ms:g}' for ms in budgets_ms(scenario))} ms, "
        f"at {slo.confidence:.0%} confidence"
    )
    yield (
        f"workload    {facts.requests}: {facts.messages:,} messages of {facts.candidates_least} to "
        f"{facts.candidates_most} candidates (median {facts.candidates_median}), {facts.bytes_median:,} bytes"
    )
    cores = f" on cores {', '.join(map(str, plan.cores))}" if plan.cores else ""
    yield f"client      {plan.processes} process(es){cores}; {_calibrated(plan)}"
    if isinstance(scenario.phases[0].arrivals, Closed):
        yield f"phase       {scenario.phases[0].name}: closed loop, {scenario.phases[0].duration_s:g} s"
        return
    least = requests_min(slo.percentile / 100, slo.confidence, violations=0)
    counts = np.bincount(plan.schedule.phase, minlength=len(scenario.phases))
    for phase, count in zip(scenario.phases, counts.tolist(), strict=True):
        what = "not measured" if not phase.measure else "measured"
        short = f"; cannot pass, that takes {least}" if phase.measure and count < least else ""
        yield (
            f"phase       {phase.name}: {count:,} requests in {phase.duration_s:g} s "
            f"({count / phase.duration_s:.0f}/s), {what}{short}"
        )
    likely = requests_for_verdict((1 - slo.percentile / 100) / 2, 1 - slo.percentile / 100, slo.confidence)
    if likely is not None:
        yield f"verdict     a server that breaks half of what it may would pass with {likely:,} requests"
    yield f"schedule    {plan.schedule.digest[:12]}, {plan.duration_s:.0f} s in all"


def _calibrated(plan: Plan) -> str:
    if plan.calibration is None:
        return "not calibrated (`podium loadtest calibrate`)"
    return f"may judge up to {plan.calibration.judged_per_s_max:.0f}/s each"
