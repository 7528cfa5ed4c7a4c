"""Part `stalls`: a run that does not end, and a process that stands still.

(a) The engine sleeps for 0.2 or 2 s inside one run, the interpreter free (the fake engine, with the model's
    own run times): everybody who waits must be told by the deadline.
(b) SIGSTOP, two seconds, SIGCONT, with the real engine: the kernel keeps what arrives; everybody who is
    overdue must be told at once.

Arrivals at equal distances and 0.8 x capacity, so that bunches are no part of the answer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.overload import recovery
from benchmarks.overload.load import TRIES, WARM_UP_S, Offer, Stretch, Watcher, drive
from benchmarks.overload.point import Reference
from benchmarks.overload.run_times import RunTimes
from benchmarks.overload.workloads import Workload
from benchmarks.server_process import ServerProcess
from loadtest.fold.totals import fully_scored
from loadtest.records import ANSWERED, ENDINGS, NEVER_NS, Records
from loadtest.verdict import Verdict

LOAD: Final = 0.8
STALLS_MS: Final = (200.0, 2000.0)
STALLED_RUN: Final = 700
"""Some four seconds after the start."""
SECONDS: Final = 14.0
STOP_AT_S, STOP_S = 5.0, 2.0
LATE_MS_MAX: Final = 5.0
"""After the deadline, for those who wait behind a run that does not end."""
CONT_MS_MAX: Final = 50.0
"""After SIGCONT, for those who are overdue."""
BACK_S_MAX: Final = 1.0
PATIENCE_MS: Final = 1500.0
"""The client's own deadline is four times of it: longer than the server stands still."""


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """One stall.

    Attributes:
        silent_s: nothing was answered for so long.
        waiting: requests that had to be told while, or right after, nothing moved.
        told_late: of those, how many later than they may; untold = never.
        worst_ms: after the instant by which they should have been told.
        limit_ms: how much that may be.
        inside: how the requests inside the stalled run ended, with counts.
        before: share of the requests before that were fully scored in budget.
        back_s: from the end of the stall until that share is back for good; None = it was not.
    """

    kind: str
    silent_s: float
    waiting: int
    told_late: int
    untold: int
    worst_ms: float
    limit_ms: float
    inside: dict[str, int]
    before: float
    back_s: float | None
    endings: dict[str, int]

    @property
    def passed(self) -> bool:
        """Everybody was told in time, and goodput came back in time."""
        told = not self.told_late and not self.untold
        return told and self.back_s is not None and self.back_s <= BACK_S_MAX


def measure(work: Workload, times: RunTimes, reference: Reference, seconds: float = SECONDS) -> list[Stall]:
    """The three stalls.

    Raises:
        RuntimeError: the stall did not happen while it was looked for.
    """
    rate = LOAD * reference.per_s
    found = [_inside_engine(work, times, rate, stall_ms, seconds) for stall_ms in STALLS_MS]
    return [*found, _stopped(work, rate, seconds)]


def _inside_engine(work: Workload, times: RunTimes, rate: float, stall_ms: float, seconds: float) -> Stall:
    row_us = 1e3 * times.mixed_ms[1] / times.candidates_mean
    sets = ['engine.kind="fake"', "engine.fake.overhead_ms=0", f"engine.fake.row_us={row_us:.3f}"]
    sets.append(f"engine.fake.stall_runs={{{STALLED_RUN} = {stall_ms:.1f}}}")
    stretch = _driven(work, rate, seconds, sets)
    records = stretch.outcome.evidence.records
    begins_s, ends_s = silence(records)
    if ends_s - begins_s < stall_ms / 2e3 or begins_s < WARM_UP_S:
        raise RuntimeError(
            f"no stall of {stall_ms:.0f} ms was seen: run {STALLED_RUN} was not reached, or the server broke "
            f"it off (longest silence {ends_s - begins_s:.3f} s at {begins_s:.1f} s)"
        )
    rows = records.rows
    sent_s, done_s = rows["sent_ns"] / 1e9, rows["done_ns"] / 1e9
    untold = rows["done_ns"] == NEVER_NS
    pending = (sent_s < ends_s) & (untold | (done_s > begins_s))
    # Those whose run it was: scored by a run that took so long, or failed with it.
    inside = pending & ((rows["run_us"] > 0.5e6 * (ends_s - begins_s)) | records.ended("failed"))
    queued = pending & ~inside
    late_ms = 1e3 * (done_s - sent_s)[queued & ~untold] - work.budget_ms
    return Stall(
        kind=f"{stall_ms / 1e3:g} s inside the engine call",
        silent_s=ends_s - begins_s,
        waiting=int(np.count_nonzero(queued)),
        told_late=int(np.count_nonzero(late_ms > LATE_MS_MAX)),
        untold=int(np.count_nonzero(queued & untold)),
        worst_ms=float(late_ms.max(initial=-work.budget_ms)),
        limit_ms=LATE_MS_MAX,
        inside=endings(records.where(inside)),
        endings=endings(records.where(queued)),
        **_back(work, records, begins_s, ends_s),
    )


class Freezer(Watcher):
    """Stops the server, and lets it go on.

    Attributes:
        stopped_s, continued_s: monotonic instants; None = not yet.
    """

    def __init__(self, pid: int, seconds: float) -> None:
        super().__init__(pid, WARM_UP_S, WARM_UP_S + seconds)
        self.stopped_s: float | None = None
        self.continued_s: float | None = None
        self._server = pid

    def begins(self, plan: Any, rows: NDArray[Any]) -> None:
        """Another look begins."""
        super().begins(plan, rows)
        self.stopped_s = self.continued_s = None

    def look(self, now_s: float) -> None:
        """About ten times a second."""
        super().look(now_s)
        if self.stopped_s is None and now_s >= STOP_AT_S:
            os.kill(self._server, signal.SIGSTOP)
            self.stopped_s = now_s
        elif self.stopped_s is not None and self.continued_s is None and now_s >= self.stopped_s + STOP_S:
            self.continued_s = now_s
            os.kill(self._server, signal.SIGCONT)


def _stopped(work: Workload, rate: float, seconds: float) -> Stall:
    server = ServerProcess.start(work.models, work.sets)
    freezer = Freezer(server.process.pid, seconds)
    try:
        # The server's budget is the workload's; only the client waits longer.
        patient = dataclasses.replace(work, budget_ms=PATIENCE_MS)
        stretch = drive(server, patient, Offer.even(rate, seconds), freezer)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.process.pid, signal.SIGCONT)
        server.stop()
    if freezer.stopped_s is None or freezer.continued_s is None:
        raise RuntimeError(f"the server was not stopped and continued within {seconds:g} s")
    stop_s, cont_s = freezer.stopped_s, freezer.continued_s
    records = stretch.outcome.evidence.records
    rows = records.rows
    sent_s, done_s = rows["sent_ns"] / 1e9, rows["done_ns"] / 1e9
    untold = rows["done_ns"] == NEVER_NS
    overdue = (sent_s + work.budget_ms / 1e3 <= cont_s) & (untold | (done_s >= cont_s))
    after_ms = 1e3 * (done_s - cont_s)[overdue & ~untold]
    held = records.where(overdue & (sent_s < stop_s))
    return Stall(
        kind="SIGSTOP for 2 s",
        silent_s=cont_s - stop_s,
        waiting=int(np.count_nonzero(overdue)),
        told_late=int(np.count_nonzero(after_ms > CONT_MS_MAX)),
        untold=int(np.count_nonzero(overdue & untold)),
        worst_ms=float(after_ms.max(initial=0.0)),
        limit_ms=CONT_MS_MAX,
        inside=endings(held),
        endings=endings(records.where(overdue)),
        **_back(work, records, stop_s, cont_s),
    )


def _driven(work: Workload, rate: float, seconds: float, sets: Sequence[str]) -> Stretch:
    """One stretch on a server of its own: its runs are counted from its start, so each try has another."""
    for _ in range(TRIES):
        server = ServerProcess.start(work.models, [*work.sets, *sets])
        try:
            stretch = drive(server, work, Offer.even(rate, seconds), tries=1)
        finally:
            server.stop()
        if stretch.outcome.run.judgement.verdict is not Verdict.INVALID:
            break
    return stretch


def silence(records: Records) -> tuple[float, float]:
    """The longest time without an answer: seconds from the run's start.

    Raises:
        RuntimeError: fewer than two answers.
    """
    done_s = np.sort(records.rows["done_ns"][records.ended(ANSWERED)]) / 1e9
    if len(done_s) < 2:
        raise RuntimeError("hardly anything was answered")
    at = int(np.argmax(np.diff(done_s)))
    return float(done_s[at]), float(done_s[at + 1])


def endings(records: Records) -> dict[str, int]:
    """How they ended, the most frequent first; refusals by their reason."""
    names = [records.reasons[row["reason"]] or ENDINGS[row["ending"]] for row in records.rows]
    return dict(Counter(names).most_common())


def _back(work: Workload, records: Records, begins_s: float, ends_s: float) -> dict[str, Any]:
    intended_s = records.rows["intended_ns"] / 1e9
    in_budget = (records.rows["done_ns"] - records.rows["intended_ns"]) / 1e6 <= work.budget_ms
    good = in_budget & fully_scored(records)
    before = recovery.share(intended_s, good, WARM_UP_S, begins_s - work.budget_ms / 1e3)
    wanted = recovery.BACK * before
    return {
        "before": before,
        "back_s": recovery.until_share_is_back(intended_s, good, ends_s, wanted),
    }
