"""From what was seen to the result: fold by phase, check the guards, judge.

Pure, so that it can be done again from the files of a run.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadtest import guards, judge, machine, server_metrics
from loadtest.client.sender import Seen
from loadtest.fold import anatomy, quality, recovery, slices, totals, windows
from loadtest.fold.quality import Worth
from loadtest.fold.windows import Stretch
from loadtest.records import ANSWERED, NOT_ADMITTED, Records
from loadtest.result import (
    ClientSeen,
    Determinism,
    Guard,
    PhaseResult,
    Run,
    ServerSeen,
    Window,
    WorkloadFacts,
)
from loadtest.scenario.form import Closed, Constant, Gamma, Phase, Poisson, Scenario
from loadtest.schedule.build import budgets_ms
from loadtest.stats.stationarity import mser5
from loadtest.truth import Truth

GAP_NS: Final = 1_000_000_000
"""Between two looks on the common axis of time."""
STATIONARY: Final = (Constant, Poisson, Gamma)
"""Arrivals that are meant to be the same from the first second to the last."""
BATCH_S: Final = 5
"""MSER-5's batches, of one-second windows."""
WARM_UP_BUDGET_SHARE: Final = 0.05
"""A phase whose first seconds are slower by less of the budget was warm."""
SILENT_S_MIN: Final = 1.0
"""A server that answers nothing for so long at the end has gone."""


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One look at the scenario: what was seen beside the records. Instants count from the look's own start.

    Attributes:
        seen: of the client processes that handed over.
        died: how many did not.
        stopped_s: by the user; None = it ran to its end.
    """

    seen: Sequence[Seen]
    ticks: Sequence[machine.Ticks]
    pages: Sequence[server_metrics.Page]
    died: int
    stopped_s: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Everything that a result stands on.

    Attributes:
        records: of all looks, one behind the other: look l is `period_ns * l` later.
        starts_ns, ends_ns: of each phase, from a look's start.
        truth: what the orders are worth; None without labels and reference.
        determinism: of the sampled answers; None when nothing was compared.
        cores: of the client processes; empty = not pinned.
        judged_per_s_max: per process, by calibration; None = not calibrated.
        server: an earlier reading of its account, for when `passes` hold no pages.
    """

    created: str
    scenario: Scenario
    records: Records
    starts_ns: tuple[int, ...]
    ends_ns: tuple[int, ...]
    passes: Sequence[Pass]
    truth: Truth | None
    determinism: Determinism | None
    workload: WorkloadFacts
    processes: int
    cores: Sequence[int]
    judged_per_s_max: float | None
    calibrated: str
    schedule_sha256: str
    environment: dict[str, str]
    server: ServerSeen | None = None

    @property
    def period_ns(self) -> int:
        """From one look's start to the next one's, on the common axis."""
        return self.ends_ns[-1] + GAP_NS

    @property
    def stopped_s(self) -> float | None:
        """When the user stopped the last look."""
        return self.passes[-1].stopped_s


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A result with what it was made from."""

    run: Run
    windows: list[Window]
    evidence: Evidence


def assess(evidence: Evidence) -> Outcome:
    """Fold, check and judge."""
    bench = _Bench(evidence)
    phases = [bench.phase(number) for number in range(len(evidence.scenario.phases))]
    judged = [(found.name, found.judgement) for found, _ in phases if found.judgement is not None]
    # What was not measured is no part of a number; a run of nothing else keeps it to find out why.
    counted = [one for one in phases if one[0].counts] or [one for one in phases if one[0].judgement]
    duration_s = sum(found.duration_s for found, _ in counted)
    measured = np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in counted)])
    records = evidence.records.where(measured)
    worth = None if bench.worth is None else bench.worth.where(measured)
    whole = slices.Whole(
        records=records,
        candidates=records.rows["candidates"].astype(np.int64),
        worth=worth,
        budgets_ms=bench.budgets_ms,
        duration_s=duration_s,
        share=bench.share,
    )
    summary = totals.fold(records, bench.budgets_ms, max(duration_s, 1e-9), bench.share)
    run = Run(
        created=evidence.created,
        scenario=evidence.scenario,
        judgement=judge.worst(judged),
        summary=summary,
        quality=None if worth is None else quality.fold(worth, duration_s),
        determinism=evidence.determinism,
        phases=[found for found, _ in phases],
        classes=slices.by_class(whole, [entry.name for entry in evidence.scenario.workload.mix]),
        deciles=slices.by_decile(whole),
        anatomy=anatomy.fold(records, bench.budgets_ms),
        recoveries=recovery.fold(evidence.records, bench.stretches(0), bench.budgets_ms),
        server=_server(evidence, summary.latency.p99_ms) or evidence.server,
        client=_client(evidence),
        workload=evidence.workload,
        looks=len(evidence.passes),
        schedule_sha256=evidence.schedule_sha256,
        interrupted_after_s=evidence.stopped_s,
        notes=_notes(evidence, bench),
        environment=evidence.environment,
    )
    return Outcome(run, bench.windows(), evidence)


class _Bench:
    """What every phase's folding needs, computed once."""

    def __init__(self, evidence: Evidence) -> None:
        scenario = evidence.scenario
        self.evidence = evidence
        self.budgets_ms = budgets_ms(scenario)
        self.share = scenario.slo.percentile / 100
        self.worth: Worth | None = None
        if evidence.truth is not None:
            self.worth = quality.per_request(
                evidence.records, evidence.truth, self.budgets_ms, scenario.quality.k
            )
        rows = evidence.records.rows
        self._phases = np.array(rows["phase"])
        self._intended_ns = np.array(rows["intended_ns"])
        self._latency_ms = totals.latencies_ms(evidence.records)
        self._in_time = totals.kept_budget(evidence.records, self._latency_ms, self.budgets_ms)
        self._admitted = ~evidence.records.ended(*NOT_ADMITTED)
        self._littles_law = guards.littles_law(
            evidence.records, [seen for one in evidence.passes for seen in one.seen]
        )

    def phase(self, number: int) -> tuple[PhaseResult, NDArray[np.int64]]:
        """A phase's result, and the indices of its records without what was discarded."""
        evidence, phase = self.evidence, self.evidence.scenario.phases[number]
        rows = np.flatnonzero(self._phases == number)
        lasted_s = self._lasted_s(number)
        discarded_s = self._discarded_s(number, rows) if phase.measure else 0.0
        starts_ns = evidence.starts_ns[number] + round(discarded_s * 1e9)
        kept = rows[self._intended_ns[rows] >= starts_ns]
        records = evidence.records.where(kept)
        duration_s = max(lasted_s - discarded_s, 1e-9)
        found = totals.fold(records, self.budgets_ms, duration_s, self.share)
        checked = self._guards(number)
        judged = None
        if phase.measure and (len(kept) or evidence.stopped_s is None):
            admitted = kept[self._admitted[kept]]
            whole = rows[self._admitted[rows]]
            case = judge.Case(
                numbers=found,
                broke=~self._in_time[admitted],
                p99_ms=self._p99_by_second(number, kept),
                whole_violations=int((~self._in_time[whole]).sum()),
                whole_n=len(whole),
            )
            judged = judge.judge(case, checked, evidence.scenario.slo)
        result = PhaseResult(
            name=phase.name,
            load=self._load(number),
            starts_s=starts_ns / 1e9,
            duration_s=duration_s,
            discarded_s=discarded_s,
            numbers=found,
            quality=None if self.worth is None else quality.fold(self.worth.where(kept), duration_s),
            guards=checked,
            judgement=judged,
        )
        return result, kept

    def stretches(self, look: int) -> list[Stretch]:
        """The phases of one look on the common axis of time."""
        evidence = self.evidence
        later_ns = look * evidence.period_ns
        return [
            Stretch(
                name=phase.name,
                measured=phase.measure,
                load=self._load(number),
                starts_ns=evidence.starts_ns[number] + later_ns,
                ends_ns=evidence.ends_ns[number] + later_ns,
            )
            for number, phase in enumerate(evidence.scenario.phases)
        ]

    def windows(self) -> list[Window]:
        """Every second of every look, up to where the user stopped."""
        evidence = self.evidence
        every = [stretch for look in range(len(evidence.passes)) for stretch in self.stretches(look)]
        perceived = None if self.worth is None else self.worth.perceived
        found = windows.fold(evidence.records, every, self.budgets_ms, perceived)
        if evidence.stopped_s is None:
            return found
        ends_s = (len(evidence.passes) - 1) * evidence.period_ns / 1e9 + evidence.stopped_s
        return [window for window in found if window.t_s < ends_s]

    def silent_from_s(self) -> float | None:
        """Since when not a word came from the server, if that is long enough to say so."""
        spoke = self.evidence.records.ended(ANSWERED, *NOT_ADMITTED, "expired", "cancelled")
        answered = self._intended_ns[spoke]
        last_ns = int(self._intended_ns[-1]) if len(self._intended_ns) else 0
        since_ns = int(answered[-1]) if len(answered) else 0
        return since_ns / 1e9 if last_ns - since_ns > SILENT_S_MIN * 1e9 else None

    def _load(self, number: int) -> float:
        """Mean planned, in multiples of the scenario's rate."""
        rate = self.evidence.scenario.rate_per_s
        if isinstance(self.evidence.scenario.phases[number].arrivals, Closed) or not rate:
            return 0.0
        lasted_s = self._lasted_s(number)
        return float((self._phases == number).sum()) / lasted_s / rate if lasted_s else 0.0

    def _lasted_s(self, number: int) -> float:
        """Over all looks; the last one may have been stopped."""
        evidence = self.evidence
        starts_s, ends_s = evidence.starts_ns[number] / 1e9, evidence.ends_ns[number] / 1e9
        looks = len(evidence.passes)
        last_s = ends_s if evidence.stopped_s is None else min(max(evidence.stopped_s, starts_s), ends_s)
        return (ends_s - starts_s) * (looks - 1) + last_s - starts_s

    def _seconds(self, number: int, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """A phase's admitted records by whole second of its first look."""
        admitted = rows[self._admitted[rows]]
        starts_ns, ends_ns = self.evidence.starts_ns[number], self.evidence.ends_ns[number]
        edges = np.arange(starts_ns, ends_ns + 1, windows.WINDOW_NS)
        at = np.searchsorted(self._intended_ns[admitted], edges)
        return [admitted[low:high] for low, high in itertools.pairwise(at)]

    def _stationary(self, number: int) -> bool:
        phase: Phase = self.evidence.scenario.phases[number]
        return isinstance(phase.arrivals, STATIONARY) and self.evidence.stopped_s is None

    def _discarded_s(self, number: int, rows: NDArray[np.int64]) -> float:
        """How much of the phase's beginning was still warm-up, by MSER-5 on the seconds' median latency.

        MSER-5 cuts on noise, too, and cuts whatever comes before a stall: so of what it would cut only those
        first five seconds go that are slower than the rest by something that matters, then the five after
        them, and so on. `judge` looks at the whole as well.
        """
        if not self._stationary(number):
            return 0.0
        latency_ms = np.minimum(self._latency_ms, 4 * max(self.budgets_ms))
        medians = [float(np.median(latency_ms[part])) for part in self._seconds(number, rows) if len(part)]
        cut = mser5(np.array(medians))
        warm_ms = np.median(medians[cut:]) + WARM_UP_BUDGET_SHARE * max(self.budgets_ms) if cut else np.inf
        cold = 0
        while cold < cut and np.mean(medians[cold : cold + BATCH_S]) > warm_ms:
            cold += BATCH_S
        return float(cold)

    def _p99_by_second(self, number: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        if not self._stationary(number):
            return np.zeros(0)
        parts = [np.sort(self._latency_ms[part]) for part in self._seconds(number, rows) if len(part)]
        return np.array([part[int(0.99 * (len(part) - 1))] for part in parts])

    def _guards(self, number: int) -> list[Guard]:
        """The worst value of each guard over all looks."""
        evidence, limits = self.evidence, self.evidence.scenario.limits
        starts_ns, ends_ns = evidence.starts_ns[number], evidence.ends_ns[number]
        worst: dict[str, Guard] = {}
        for look, one in enumerate(evidence.passes):
            later_ns = look * evidence.period_ns
            mine = (self._phases == number) & (self._intended_ns >= later_ns)
            mine &= self._intended_ns < later_ns + evidence.period_ns
            side = guards.Side(
                from_ns=starts_ns,
                to_ns=ends_ns,
                seen=one.seen,
                steal=machine.steal(one.ticks, starts_ns / 1e9, ends_ns / 1e9),
                littles_law=self._littles_law,
                judged_per_s_max=evidence.judged_per_s_max,
                died=one.died,
                open_loop=not isinstance(evidence.scenario.phases[number].arrivals, Closed),
            )
            records = evidence.records.where(mine)
            if later_ns:
                records = _earlier(records, later_ns)
            for guard in guards.check(records, side, limits, min(self.budgets_ms)):
                if guard.name not in worst or guard.value > worst[guard.name].value:
                    worst[guard.name] = guard
        return list(worst.values())


def _earlier(records: Records, by_ns: int) -> Records:
    """The same records on their own look's axis of time."""
    rows = records.rows.copy()
    for name in ("intended_ns", "sent_ns", "done_ns"):
        rows[name][rows[name] >= 0] -= by_ns
    return Records(rows, records.reasons)


def _server(evidence: Evidence, client_p99: object) -> ServerSeen | None:
    """Its own account of the measured time of the first look."""
    measured = [number for number, phase in enumerate(evidence.scenario.phases) if phase.measure]
    from_s, to_s = evidence.starts_ns[measured[0]] / 1e9, evidence.ends_ns[measured[-1]] / 1e9
    p99_ms = client_p99 if isinstance(client_p99, float) else None
    return server_metrics.seen(evidence.passes[0].pages, from_s, to_s, p99_ms)


def _client(evidence: Evidence) -> ClientSeen:
    every = [seen for one in evidence.passes for seen in one.seen]
    return ClientSeen(
        processes=evidence.processes,
        cores=[[core] for core in evidence.cores],
        cpu=[guards.cpu([seen], 0, evidence.ends_ns[-1]) for seen in every],
        loop_lag_p99_ms=[guards.loop_lag_p99_ms(seen) for seen in every],
        judged_per_s_max=evidence.judged_per_s_max,
        calibrated=evidence.calibrated,
    )


def _notes(evidence: Evidence, bench: _Bench) -> list[str]:
    """What a reader should know before believing a number."""
    said = []
    silent_s = bench.silent_from_s()
    if silent_s is not None:
        said.append(f"nothing was answered after {silent_s:.1f} s: the server died or became unreachable")
    if evidence.stopped_s is not None:
        said.append(
            f"interrupted after {evidence.stopped_s:.1f} s; later requests were not sent and do not count"
        )
    if isinstance(evidence.scenario.phases[0].arrivals, Closed):
        said.append("closed loop: its latencies are not comparable with open-loop results")
    if not evidence.calibrated and evidence.scenario.target.kind != "null":
        said.append(
            "the client is not calibrated here: the guards alone decide (`podium loadtest calibrate`)"
        )
    if evidence.truth is None or not evidence.truth.referenced.any():
        said.append("no reference from the idle server: losses are not split")
    if len(evidence.passes) > 1:
        said.append(f"extended: {len(evidence.passes)} looks, each judged at a share of the risk")
    return said
