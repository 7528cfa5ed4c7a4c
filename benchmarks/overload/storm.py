"""Part `storm`: clients that retry at once and without backoff; a trigger; is the server back after it?

A system is metastable when a trigger's retries keep it down after the trigger is gone (OSDI 2022). Load 0.8 x
capacity, Poisson; triggers: two seconds of three times capacity, and a process that stands still for two.
Judged in windows of half a second: goodput, share of attempts that failed, attempts per request, against the
windows before and against the same windows of a run with the same arrivals and no trigger. A fourth run, with
the same arrivals and no retries, tells whether the retries have brought the server down before any trigger.
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
        untouched: the same as `after`, without the trigger.
        once: good share before the trigger's instant where nobody retries.
    """

    policy: str
    trigger: str
    goodput_s: float | None
    failed_s: float | None
    attempts_s: float | None
    before: tuple[float, float, float]
    during: tuple[float, float, float]
    after: tuple[float, float, float]
    untouched: tuple[float, float, float]
    once: float
    windows: Windows

    @property
    def seconds(self) -> float | None:
        """Until all three are back."""
        parts = [one for one in (self.goodput_s, self.failed_s, self.attempts_s) if one is not None]
        return max(parts) if len(parts) == 3 else None

    @property
    def passed(self) -> bool:
        """Within what it may take, and there was something to come back to."""
        calm = self.before[0] >= BACK * self.once
        return calm and self.seconds is not None and self.seconds <= BACK_S_MAX


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
    spike = instants(reference.per_s, (LOAD, SPIKE, LOAD), after_s)
    calm = instants(reference.per_s, (LOAD, LOAD, LOAD), after_s)
    found = []
    for name, sets in policies:
        once = _storm(work, sets, calm, attempts_max=1)
        untouched = _storm(work, sets, calm)
        for trigger, storm in (
            ("3x for 2 s", _storm(work, sets, spike)),
            ("SIGSTOP for 2 s", _storm(work, sets, calm, stop=True)),
        ):
            found.append(judge(storm, untouched, once, work.budget_ms / 1e3, (name, trigger)))
    return found


def instants(
    per_s: float, loads: tuple[float, float, float], after_s: float, seed: int = 0
) -> list[NDArray[np.float64]]:
    """Poisson arrivals before, during and after the trigger: each float64, ascending; all from 0 on.

    What one stretch is like does not depend on the others.
    """
    parts, from_s = [], 0.0
    for at, (load, lasts_s) in enumerate(zip(loads, (CALM_S, TRIGGER_S, after_s), strict=True)):
        rng = np.random.default_rng([seed, at])
        count = int(rng.poisson(load * per_s * lasts_s))
        parts.append(from_s + np.sort(rng.uniform(0.0, lasts_s, count)))
        from_s += lasts_s
    return parts


def _storm(
    work: Workload,
    sets: Sequence[str],
    parts: Sequence[NDArray[np.float64]],
    *,
    attempts_max: int = ATTEMPTS_MAX,
    stop: bool = False,
) -> Storm:
    server = ServerProcess.start(work.models, [*work.sets, *sets])
    pid, port = server.process.pid, server.port
    acts: list[tuple[float, Callable[[], None]]] = []
    if stop:
        acts = [
            (CALM_S, lambda: os.kill(pid, signal.SIGSTOP)),
            (CALM_S + TRIGGER_S, lambda: os.kill(pid, signal.SIGCONT)),
        ]
    every = sent(work)
    shuffled = [every[at] for at in np.random.default_rng(0).permutation(len(every))]
    messages = [shuffled[at % len(shuffled)] for part in parts for at in range(len(part))]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    try:
        door = lambda: Http2(f"127.0.0.1:{port}", 2)  # noqa: E731
        intended_s = np.concatenate(parts)
        return asyncio.run(storm_client.send(door, messages, intended_s, acts, attempts_max))
    finally:
        os.sched_setaffinity(0, cores)
        os.kill(pid, signal.SIGCONT)
        server.stop()


def judge(storm: Storm, untouched: Storm, once: Storm, budget_s: float, about: tuple[str, str]) -> Recovery:
    """When goodput, failures and attempts were back.

    Args:
        untouched: the same arrivals without the trigger.
        once: these without retries.
        about: policy and trigger.
    """
    seen, quiet = windows(storm, budget_s), windows(untouched, budget_s)
    first, over = round(CALM_S / WINDOW_S), round((CALM_S + TRIGGER_S) / WINDOW_S)
    calm, later = slice(WARM_UP_WINDOWS, first), slice(over, None)
    failed = until_ordinary(seen.failed[calm], quiet.failed[later], seen.failed[later], FAILED_SLACK, 1.0)
    attempts = until_ordinary(
        seen.attempts[calm], quiet.attempts[later], seen.attempts[later], ATTEMPTS_SLACK, ATTEMPTS_MAX
    )
    last = slice(-round(BACK_S_MAX / WINDOW_S), None)
    return Recovery(
        policy=about[0],
        trigger=about[1],
        goodput_s=_until_good(seen, quiet, calm, over),
        failed_s=_seconds(failed),
        attempts_s=_seconds(attempts),
        before=_mean(seen, calm),
        during=_mean(seen, slice(first, over)),
        after=_mean(seen, last),
        untouched=_mean(quiet, last),
        once=_mean(windows(once, budget_s), calm)[0],
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


def _until_good(seen: Windows, quiet: Windows, calm: slice, over: int) -> float | None:
    before = sum(seen.good[calm]) / max(sum(seen.requests[calm]), 1)
    later = zip(seen.good[over:], quiet.good[over:], seen.requests[over:], strict=True)
    bad = [
        at
        for at, (good, without, asked) in enumerate(later)
        if binom.cdf(good, asked, BACK * min(before, without / max(asked, 1))) < ALPHA
    ]
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
