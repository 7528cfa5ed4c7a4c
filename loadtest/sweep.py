"""A sweep: loads up, down again, and a spike at the end; one run of many phases, each judged on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from loadtest.scenario.form import Phase, Poisson, Scenario

LOADS: Final = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
CALM, SPIKE = 0.7, 2.0
SPIKE_S: Final = 10.0


def scenario(base: Scenario, loads: Sequence[float], step_s: float) -> Scenario:
    """The base scenario with other phases.

    Down again, since a server that was drowned may serve less at the same load than before; then ten seconds
    of twice the load between two calm stretches: how long until goodput is back?
    """
    phases = [_phase("warm-up", min(loads), 3.0, measure=False)]
    for way, order in (("up", sorted(loads)), ("down", sorted(loads, reverse=True)[1:])):
        phases += [_phase(f"{load:g}x {way}", load, step_s, drain=True) for load in order]
    phases += [
        _phase("before the spike", CALM, SPIKE_S),
        _phase("spike", SPIKE, SPIKE_S),
        _phase("after the spike", CALM, SPIKE_S),
    ]
    return msgspec.structs.replace(base, name=f"{base.name}-sweep", phases=tuple(phases))


def _phase(name: str, load: float, duration_s: float, *, measure: bool = True, drain: bool = False) -> Phase:
    return Phase(
        name=name,
        duration_s=duration_s,
        arrivals=Poisson(load=load),
        measure=measure,
        drain=drain or not measure,
    )
