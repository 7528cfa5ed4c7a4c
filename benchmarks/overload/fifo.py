"""Part `fifo`: the baseline at its best.

A bounded queue, a queue timeout, a largest batch, a fixed delay: what batching servers offer. Tuned by a grid
of short runs to its own best goodput at twice capacity.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import msgspec

from benchmarks.overload.load import Offer, drive
from benchmarks.overload.point import Reference
from benchmarks.overload.sweep import Say
from benchmarks.overload.workloads import Workload
from benchmarks.server_process import ServerProcess

LOAD: Final = 2.0
QUEUES: Final = (1, 2, 3, 4, 8)
TIMEOUT_SHARES: Final = (0.0, 0.4, 0.7)
"""Of the budget; 0 = none."""
REQUESTS: Final = (1, 4)
DELAYS_MS: Final = (0.0, 1.0)
"""Tried on the finalists only: at twice capacity, company is there already."""
FINALISTS: Final = 3
FINAL_LONGER: Final = 3.0


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration of the baseline."""

    queue_max: int
    timeout_ms: float
    delay_ms: float
    requests_max: int

    @property
    def sets(self) -> list[str]:
        """For `--set`."""
        return [
            'admission.policy="fifo"',
            f"admission.fifo.queue_max={self.queue_max}",
            f"admission.fifo.timeout_ms={self.timeout_ms:g}",
            f"admission.fifo.delay_ms={self.delay_ms:g}",
            f"batch.requests_max={self.requests_max}",
        ]

    @property
    def words(self) -> str:
        """For people."""
        timeout = f"timeout {self.timeout_ms:g} ms" if self.timeout_ms else "no timeout"
        return (
            f"queue {self.queue_max}, {timeout}, delay {self.delay_ms:g} ms, "
            f"at most {self.requests_max} requests a run"
        )


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A setting and what it gave in a short run."""

    setting: Setting
    goodput_per_s: float


def tune(work: Workload, reference: Reference, seconds: float, say: Say, *, coarse: bool) -> list[Trial]:
    """Every trial, the finals last; the best of the finals is the baseline.

    Args:
        seconds: of each short run.
        coarse: every other value only.
    """
    every = grid(work.budget_ms, coarse=coarse)
    first = [_trial(work, reference, setting, seconds, 0, say) for setting in every]
    leaders = sorted(first, key=lambda one: -one.goodput_per_s)[:FINALISTS]
    longer_s = FINAL_LONGER * seconds
    finals = [
        _trial(work, reference, msgspec.structs.replace(one.setting, delay_ms=delay), longer_s, 1, say)
        for one in leaders
        for delay in DELAYS_MS
    ]
    return [*first, *finals]


def best(trials: Sequence[Trial]) -> Setting:
    """Of the finals."""
    finals = trials[-FINALISTS * len(DELAYS_MS) :]
    return max(finals, key=lambda one: one.goodput_per_s).setting


def grid(budget_ms: float, *, coarse: bool = False) -> list[Setting]:
    """Every combination without a delay."""
    stride = 2 if coarse else 1
    return [
        Setting(queue_max=queue, timeout_ms=share * budget_ms, delay_ms=0.0, requests_max=requests)
        for queue, share, requests in itertools.product(
            QUEUES[::stride], TIMEOUT_SHARES[::stride], REQUESTS[::stride]
        )
    ]


def _trial(
    work: Workload, reference: Reference, setting: Setting, seconds: float, seed: int, say: Say
) -> Trial:
    server = ServerProcess.start(work.models, [*work.sets, *setting.sets])
    try:
        offer = Offer(LOAD * reference.per_s, seconds, seed=seed, warm_up_s=0.5)
        run = drive(server, work, offer).outcome.run
    finally:
        server.stop()
    say(f"fifo, {setting.words}: goodput {run.summary.goodput_per_s:.1f}/s")
    return Trial(setting=setting, goodput_per_s=run.phases[-1].numbers.goodput_per_s)
