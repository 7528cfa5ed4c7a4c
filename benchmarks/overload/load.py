"""Load on a server by the load test's library, one stretch at a time, and what the server spent on it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from numpy.typing import NDArray

from benchmarks.overload import account
from benchmarks.overload.account import Reading, Spent
from benchmarks.overload.workloads import Workload
from benchmarks.server_process import CLIENT_CORE, ServerProcess
from loadtest import workload as messages
from loadtest.assess import Outcome
from loadtest.plan import Plan, prepare
from loadtest.run import Unwatched, execute
from loadtest.scenario.form import (
    Arrivals,
    Client,
    Constant,
    Phase,
    Poisson,
    Quality,
    Scenario,
    Target,
    Transport,
)
from loadtest.verdict import Verdict

WARM_UP_S: Final = 1.0
SECONDS_MIN: Final = 2.0
"""Of a stretch whose CPU time is read: readings are a tenth of a second apart."""
TRIES: Final = 3
"""Of a stretch in which a guard tripped: a neighbour's burst passes."""


class Watcher(Unwatched):
    """Reads the server's CPU time at the edges of the measured phase; tells instants to whoever wants them.

    Attributes:
        first, last: readings inside the measured phase.
        origin_s: the monotonic instant from which the run's times count.
    """

    def __init__(self, pid: int, from_s: float, to_s: float) -> None:
        self.first: Reading | None = None
        self.last: Reading | None = None
        self.origin_s = float("inf")
        self._pid, self._from_s, self._to_s = pid, from_s, to_s

    def begins(self, plan: Plan, rows: NDArray[Any]) -> None:
        """Another look at the same plan begins."""
        self.first = self.last = None
        self.origin_s = float("inf")

    def look(self, now_s: float) -> None:
        """Read, while the phase lasts."""
        self.origin_s = min(self.origin_s, time.monotonic() - now_s)
        if self._from_s <= now_s <= self._to_s:
            self.last = account.read(self._pid)
            self.first = self.first or self.last


@dataclass(frozen=True, slots=True)
class Stretch:
    """One stretch of load, measured.

    Attributes:
        spent: by the server while it lasted; None = it was too short for two readings.
        from_s, to_s: the instants of those readings, from the run's start.
        origin_s: the monotonic instant of the run's start, to a tenth of a millisecond or so.
    """

    outcome: Outcome
    spent: Spent | None
    from_s: float
    to_s: float
    origin_s: float


@dataclass(frozen=True, slots=True)
class Offer:
    """So much, for so long.

    Attributes:
        arrivals: at load 1.
        throttle: callers refuse themselves what the server would refuse.
    """

    rate_per_s: float
    duration_s: float
    arrivals: Arrivals = field(default_factory=Poisson)
    transport: Transport = "http2"
    seed: int = 0
    warm_up_s: float = WARM_UP_S
    throttle: bool = False

    @classmethod
    def even(cls, rate_per_s: float, duration_s: float) -> Offer:
        """At equal distances."""
        return cls(rate_per_s, duration_s, Constant())


def scenario(work: Workload, offer: Offer, port: int) -> Scenario:
    """As the load test is told."""
    return Scenario(
        version=1,
        name="overload",
        rate_per_s=offer.rate_per_s,
        target=Target(address=f"127.0.0.1:{port}", transport=offer.transport),
        slo=work.slo,
        workload=msgspec.structs.replace(work.sent, seed=offer.seed),
        phases=(
            Phase(name="warm-up", duration_s=offer.warm_up_s, arrivals=offer.arrivals, measure=False),
            Phase(name="load", duration_s=offer.duration_s, arrivals=offer.arrivals),
        ),
        client=Client(processes=1, cores=(int(CLIENT_CORE),), throttle=offer.throttle),
        quality=Quality(sample=0.0, reference=False),
    )


def sent(work: Workload) -> tuple[bytes, ...]:
    """The messages, as they are sent."""
    return messages.load(scenario(work, Offer(1.0, 1.0), 1)).messages


def drive(
    server: ServerProcess, work: Workload, offer: Offer, watcher: Watcher | None = None, tries: int = TRIES
) -> Stretch:
    """Offer it; again when the client or its machine was in the way, a few times."""
    plan = prepare(scenario(work, offer, server.port), lambda size, target: None)
    to_s = offer.warm_up_s + offer.duration_s
    watch = watcher or Watcher(server.process.pid, offer.warm_up_s, to_s)
    for _ in range(tries):
        outcome = execute(plan, watch=watch)
        if outcome.run.judgement.verdict is not Verdict.INVALID:
            break
    first, last = watch.first, watch.last
    if first is None or last is None or last.at_s <= first.at_s:
        return Stretch(outcome, None, offer.warm_up_s, to_s, watch.origin_s)
    edges = (first.at_s - watch.origin_s, last.at_s - watch.origin_s)
    return Stretch(outcome, first.until(last), *edges, watch.origin_s)
