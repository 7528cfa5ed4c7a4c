"""The runs: what is injected, what is sent, and how a held client is held."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from loadtest.plan import prepare
from loadtest.result import Run
from loadtest.run import Unwatched, execute
from loadtest.scenario.form import (
    Arrivals,
    Client,
    Constant,
    Limits,
    Phase,
    Poisson,
    Quality,
    Scenario,
    Slo,
    Target,
    Transport,
    Workload,
)
from loadtest.selftest import request_set
from loadtest.selftest.target import read, serving
from loadtest.selftest.truth import Injected, Truth

BUDGET_MS: Final = 300.0
"""Far from the delays on either side of it, so that no request is a matter of opinion; and the RPC deadline
that follows from it, 1.2 s, lies behind the longest stall."""
LATE_MS: Final = 500.0
REPEATS_MAX: Final = 2
LAG_P99_MS_MAX: Final = 5.0
"""A mock that keeps its own plan no better than that is no standard to measure by."""

_MACHINE: Final = frozenset({"client CPU", "steal"})
SENDING: Final = frozenset({"send lag p99", "sends late by over 1 ms"})
"""Guards by which a machine without time shows. The others speak of the harness: they are checked."""

_LIMITS: Final = Limits(send_lag_p99_ms=5.0, late_sends_ratio=0.1, client_cpu=0.9, steal=0.1, arrivals_ks=1.0)
"""Looser than a measurement's: each is still far inside the errors that the checks allow."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One run against one mock.

    Attributes:
        hold_at_s, hold_s: stop the client's processes for so long; 0 = never.
        processes: of the client.
        transport: the door that it takes.
    """

    name: str
    injected: Injected
    arrivals: Arrivals
    rate_per_s: float
    duration_s: float
    hold_at_s: float = 0.0
    hold_s: float = 0.0
    processes: int = 1
    transport: Transport = "http2"


LAW: Final = Experiment(
    "latency law",
    Injected(seed=11, median_ms=40.0, sigma=0.5, reversed=0.25, degraded=0.1, told=0.1),
    Poisson(),
    rate_per_s=200.0,
    duration_s=8.0,
)
FATES: Final = Experiment(
    "refusals",
    Injected(
        seed=12,
        median_ms=5.0,
        late_ms=LATE_MS,
        late=0.04,
        reversed=0.2,
        overloaded=0.1,
        expired=0.03,
        failed=0.02,
        silent=0.01,
    ),
    Poisson(),
    rate_per_s=200.0,
    duration_s=6.0,
    processes=2,
)
FATES_STREAMED: Final = replace(
    FATES,
    name="refusals, streamed",
    injected=msgspec.structs.replace(FATES.injected, seed=15),
    transport="stream",
)
# Evenly spaced, so that how many a stall holds up is arithmetic.
STALL: Final = Experiment(
    "stalled server",
    Injected(seed=13, median_ms=5.0, stall_at_s=2.5, stall_s=1.0),
    Constant(),
    rate_per_s=200.0,
    duration_s=5.0,
)
HELD: Final = Experiment(
    "held client",
    Injected(seed=14, median_ms=5.0),
    Constant(),
    rate_per_s=200.0,
    duration_s=4.0,
    hold_at_s=1.5,
    hold_s=0.6,
)
EXPERIMENTS: Final = (LAW, FATES, FATES_STREAMED, STALL, HELD)


@dataclass(frozen=True, slots=True)
class Found:
    """What came of an experiment.

    Attributes:
        held_ms: for how long the client was stopped.
        noise: why it does not count; "" = it counts.
        repeats: how many tries did not count before.
    """

    experiment: Experiment
    run: Run
    truth: Truth
    held_ms: float
    noise: str
    repeats: int


def perform(experiment: Experiment, say: Callable[[str], None]) -> Found:
    """Do it; again, when the machine was too noisy for it.

    Raises:
        loadtest.run.RunFailed: nothing could be measured.
        RuntimeError: the mock server failed.
    """
    repeats = 0
    while True:
        found = _once(experiment, repeats)
        if not found.noise or repeats == REPEATS_MAX:
            return found
        say(f"{experiment.name}: machine too noisy, repeated ({found.noise})")
        repeats += 1


def _once(experiment: Experiment, repeats: int) -> Found:
    # The client on the last core, the mock on the others, where there are others.
    *others, last = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="podium-selftest-") as name:
        folder = Path(name)
        requests, labels = request_set.write(folder)
        truth, hold = folder / "truth.json", _Hold(experiment)
        with serving(experiment.injected, truth, set(others)) as address:
            target = Target(address=address, transport=experiment.transport)
            scenario = _scenario(experiment, target, Client(cores=(last,)))
            work = Workload(requests=str(requests), labels=str(labels))
            plan = prepare(msgspec.structs.replace(scenario, workload=work), lambda size, target: None)
            run = execute(plan, folder / "run", hold).run
        if run.interrupted_after_s is not None:
            raise KeyboardInterrupt
        told = read(truth)
    return Found(experiment, run, told, hold.held_ms, _noise(run, told, experiment), repeats)


def _scenario(experiment: Experiment, target: Target, client: Client) -> Scenario:
    return Scenario(
        version=1,
        name="selftest",
        description=experiment.name,
        rate_per_s=experiment.rate_per_s,
        target=target,
        slo=Slo(budget_ms=BUDGET_MS),
        phases=(Phase(name="all", duration_s=experiment.duration_s, arrivals=experiment.arrivals),),
        client=msgspec.structs.replace(client, processes=experiment.processes),
        # The mock counts whoever asks: nobody but the load may.
        quality=Quality(reference=False, sample=0.0),
        limits=_LIMITS,
    )


def _noise(run: Run, truth: Truth, experiment: Experiment) -> str:
    """Why the run does not count, or ""."""
    # A client that is stopped sends late: that is what is injected.
    looked_at = _MACHINE if experiment.hold_s else _MACHINE | SENDING
    for guard in run.phases[0].guards:
        if guard.tripped and guard.name in looked_at:
            return f"{guard.name} {guard.value:.3g} {guard.unit}, limit {guard.limit:.3g}"
    lags = sorted(truth.lag_ms)
    lag_p99_ms = lags[int(0.99 * len(lags))] if lags else 0.0
    # A stall makes the mock late, and that is what is injected.
    if lag_p99_ms > LAG_P99_MS_MAX and not experiment.injected.stall_s:
        return f"the mock answered {lag_p99_ms:.1f} ms behind its own plan (p99)"
    return ""


class _Hold(Unwatched):
    """Stops the client's processes once, as a machine does that has no time for them."""

    def __init__(self, experiment: Experiment) -> None:
        self.held_ms = 0.0
        self._at_s, self._for_s = experiment.hold_at_s, experiment.hold_s

    def look(self, now_s: float) -> None:
        """Stop them when it is time, and let them go on."""
        if not self._for_s or self.held_ms or now_s < self._at_s:
            return
        clients = [client.pid for client in multiprocessing.active_children() if client.pid is not None]
        start_ns = time.monotonic_ns()
        try:
            for pid in clients:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(self._for_s)
        finally:
            for pid in clients:
                os.kill(pid, signal.SIGCONT)
        self.held_ms = (time.monotonic_ns() - start_ns) / 1e6
