"""Part `storm`: clients that retry at once and without backoff; a trigger; is the server back after it?

A system is metastable when a trigger's retries keep it down after the trigger is gone (OSDI 2022). Load 0.8 x
capacity, Poisson; triggers: two seconds of three times capacity, and a process that stands still for two.
Judged in windows of half a second against the windows before: goodput, share of attempts that failed,
attempts per request.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from benchmarks.overload import storm_client
from benchmarks.overload.load import sent
from benchmarks.overload.point import Reference
from benchmarks.overload.recovery import BACK, until_ordinary
from benchmarks.overload.storm_client import ATTEMPTS_MAX, Storm
from benchmarks.overload.workloads import Workload
from benchmarks.server_process import CLIENT_CORE, ServerProcess
from loadtest.client.http2 import Http2

LOAD, SPIKE = 0.8, 3.0
CALM_S: Final = 6.0
"""Before the trigger; its first second is warm-up."""
TRIGGER_S: Final = 2.0
AFTER_S: Final = 12.0
WINDOW_S: Final = 0.5
WARM_UP_WINDOWS: Final = 2
ALPHA: Final = 0.001
"""A window is short only if so few good requests would be rarer than this at 95 % of the share before."""
FAILED_SLACK, ATTEMPTS_SLACK = 0.02, 0.05
BACK_S_MAX: Final = 5.0


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """Per half second, by intended instant: requests, of them good; failed share of the attempts sent then;
    attempts per request."""

    requests: list[int]
    good: list[int]
    failed: list[float]
    attempts: list[float]


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """One trigger.

    Attributes:
        goodput_s, failed_s, attempts_s: from its end until each is back for good; None = it was not.
        before, during, after: [good share, failed share of attempts, attempts per request].
    """

    policy: str
    trigger: str
    goodput_s: float | None
    failed_s: float | None
    attempts_s: float | None
    before: tuple[float, float, float]
    during: tuple[float, float, float]
    after: tuple[float, float, float]
    windows: Windows

    @property
    def seconds(self) -> float | None:
        """Until all three are back."""
        parts = [one for one in (self.goodput_s, self.failed_s, self.attempts_s) if one is not None]
        return max(parts) if len(parts) == 3 else None

    @property
    def passed(self) -> bool:
        """Within what it may take."""
        return self.seconds is not None and self.seconds <= BACK_S_MAX


def measure(
    work: Workload,
    reference: Reference,
    policies: Sequence[tuple[str, Sequence[str]]],
    after_s: float = AFTER_S,
) -> list[Recovery]:
    """Both triggers for each policy.

    Args:
        policies: name and configuration of each.
    """
    found = []
    for name, sets in policies:
        spike = instants(reference.per_s, (LOAD, SPIKE, LOAD), after_s)
        found.append(_storm(work, (name, sets), "3x for 2 s", spike, stop=False))
        calm = instants(reference.per_s, (LOAD, LOAD, LOAD), after_s)
        found.append(_storm(work, (name, sets), "SIGSTOP for 2 s", calm, stop=True))
    return found


def instants(
    per_s: float, loads: tuple[float, float, float], after_s: float, seed: int = 0
) -> NDArray[np.float64]:
    """Poisson arrivals before, during and after the trigger: float64, ascending, from 0."""
    rng = np.random.default_rng(seed)
    parts, from_s = [], 0.0
    for load, lasts_s in zip(loads, (CALM_S, TRIGGER_S, after_s), strict=True):
        count = int(rng.poisson(load * per_s * lasts_s))
        parts.append(from_s + np.sort(rng.uniform(0.0, lasts_s, count)))
        from_s += lasts_s
    return np.concatenate(parts)


def _storm(
    work: Workload,
    policy: tuple[str, Sequence[str]],
    trigger: str,
    intended_s: NDArray[np.float64],
    *,
    stop: bool,
) -> Recovery:
    server = ServerProcess.start(work.models, [*work.sets, *policy[1]])
    pid, port = server.process.pid, server.port
    acts: list[tuple[float, Callable[[], None]]] = []
    if stop:
        acts = [
            (CALM_S, lambda: os.kill(pid, signal.SIGSTOP)),
            (CALM_S + TRIGGER_S, lambda: os.kill(pid, signal.SIGCONT)),
        ]
    every = sent(work)
    shuffled = [every[at] for at in np.random.default_rng(0).permutation(len(every))]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    try:
        door = lambda: Http2(f"127.0.0.1:{port}", 2)  # noqa: E731
        storm = asyncio.run(storm_client.send(door, shuffled, intended_s, acts))
    finally:
        os.sched_setaffinity(0, cores)
        os.kill(pid, signal.SIGCONT)
        server.stop()
    return judge(storm, work.budget_ms / 1e3, policy[0], trigger)


def judge(storm: Storm, budget_s: float, policy: str, trigger: str) -> Recovery:
    """When goodput, failures and attempts were back."""
    seen = windows(storm, budget_s)
    first, over = round(CALM_S / WINDOW_S), round((CALM_S + TRIGGER_S) / WINDOW_S)
    calm, later = slice(WARM_UP_WINDOWS, first), slice(over, None)
    failed = until_ordinary(seen.failed[calm], seen.failed[later], FAILED_SLACK, 1.0)
    attempts = until_ordinary(seen.attempts[calm], seen.attempts[later], ATTEMPTS_SLACK, ATTEMPTS_MAX)
    return Recovery(
        policy=policy,
        trigger=trigger,
        goodput_s=_until_good(seen, calm, over),
        failed_s=_seconds(failed),
        attempts_s=_seconds(attempts),
        before=_mean(seen, calm),
        during=_mean(seen, slice(first, over)),
        after=_mean(seen, slice(-round(BACK_S_MAX / WINDOW_S), None)),
        windows=seen,
    )


def windows(storm: Storm, budget_s: float) -> Windows:
    """The storm in half seconds; the last one that is not whole is left out."""
    count = int(storm.intended_s[-1] / WINDOW_S)
    edges = np.arange(count + 1) * WINDOW_S
    good = (storm.answered_s >= 0) & (storm.answered_in_s <= budget_s)
    requests = np.histogram(storm.intended_s, edges)[0]
    attempts = np.histogram(storm.intended_s, edges, weights=storm.attempts)[0]
    sent = np.histogram(storm.sent_s, edges)[0]
    failed = np.histogram(storm.sent_s[storm.failed], edges)[0]
    return Windows(
        requests=requests.tolist(),
        good=np.histogram(storm.intended_s[good], edges)[0].tolist(),
        failed=(failed / np.maximum(sent, 1)).tolist(),
        attempts=(attempts / np.maximum(requests, 1)).tolist(),
    )


def _until_good(seen: Windows, calm: slice, over: int) -> float | None:
    wanted = BACK * sum(seen.good[calm]) / max(sum(seen.requests[calm]), 1)
    later = zip(seen.good[over:], seen.requests[over:], strict=True)
    bad = [at for at, (good, asked) in enumerate(later) if binom.cdf(good, asked, wanted) < ALPHA]
    if not bad:
        return 0.0
    return None if bad[-1] == len(seen.good) - over - 1 else _seconds(bad[-1] + 1)


def _seconds(count: int | None) -> float | None:
    return None if count is None else count * WINDOW_S


def _mean(seen: Windows, part: slice) -> tuple[float, float, float]:
    requests = max(sum(seen.requests[part]), 1)
    return (
        sum(seen.good[part]) / requests,
        float(np.mean(seen.failed[part])),
        float(np.average(seen.attempts[part], weights=np.maximum(seen.requests[part], 1))),
    )
