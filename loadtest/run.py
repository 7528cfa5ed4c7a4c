"""A run from plan to evidence: probe, idle reference, client processes, records. The numbers are
`assess`'s."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from loadtest import environment, machine, null_target, probe, reference, server_metrics, workload
from loadtest.assess import GAP_NS, Evidence, Outcome, Pass, assess
from loadtest.client import pool, store
from loadtest.client.doors import make
from loadtest.client.process import Task
from loadtest.client.sender import Seen
from loadtest.fold import determinism
from loadtest.plan import Plan
from loadtest.records import TOP, Records
from loadtest.reference import Reference
from loadtest.scenario.form import Closed, deadline_s
from loadtest.schedule.build import budgets_ms
from loadtest.truth import Truth
from loadtest.verdict import Verdict

PART_FILE: Final = "records.part"
"""The records while they are made; what is left when the whole tool is killed."""
SAMPLE_S: Final = 1.0
"""Between two looks at the machine and at the server's metrics."""


class RunFailed(Exception):
    """Nothing was measured. One sentence."""


class Watch(Protocol):
    """Whoever looks on. Called from the parent's only thread."""

    def asking(self, share: float) -> None:
        """The idle server is being asked; the share done."""

    def begins(self, plan: Plan, rows: NDArray[Any]) -> None:
        """The load begins; `rows` fill as it goes."""

    def look(self, now_s: float) -> None:
        """About ten times a second, with the seconds since the start."""

    def ends(self) -> None:
        """The load is over."""


class Unwatched:
    """Nobody looks on."""

    def asking(self, share: float) -> None:
        """Nothing to show."""

    def begins(self, plan: Plan, rows: NDArray[Any]) -> None:
        """Nothing to show."""

    def look(self, now_s: float) -> None:
        """Nothing to show."""

    def ends(self) -> None:
        """Nothing to show."""


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """What one pass over the phases gave."""

    records: Records
    seen: tuple[Seen, ...]
    ticks: tuple[machine.Ticks, ...]
    pages: tuple[server_metrics.Page, ...]
    samples: tuple[tuple[int, bytes], ...]
    stopped_s: float | None
    died: int


def execute(plan: Plan, folder: Path | None = None, watch: Watch | None = None) -> Outcome:
    """Do what the plan says.

    Args:
        folder: where the records go while they are made; None = a temporary one.

    Raises:
        RunFailed: there is no server, it does not serve the model, or the client could not do its part.
    """
    onlooker = watch or Unwatched()
    created = datetime.now(UTC).isoformat(timespec="seconds")
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podium-loadtest-")))
        try:
            place.mkdir(parents=True, exist_ok=True)
            address = _address(plan, stack)
            served = _probe(plan, address)
            found = _reference(plan, address, onlooker)
            looks: list[_Look] = []
            while True:
                looks.append(_send(plan.look(len(looks)), address, place, onlooker))
                evidence = _evidence(plan, created, served, found, looks)
                outcome = assess(evidence)
                more = len(looks) < plan.scenario.slo.looks_max and looks[-1].stopped_s is None
                if outcome.run.judgement.verdict is not Verdict.INCONCLUSIVE or not more:
                    return outcome
        except (OSError, probe.NotThere, pool.ClientFailed) as error:
            raise RunFailed(str(error)) from error


def _address(plan: Plan, stack: contextlib.ExitStack) -> str:
    if plan.scenario.target.kind == "rank":
        return plan.scenario.target.address
    free = set(os.sched_getaffinity(0)) - set(plan.cores)
    return stack.enter_context(null_target.running(plan.facts.candidates_median, free))


def _probe(plan: Plan, address: str) -> dict[str, str]:
    if plan.scenario.target.kind == "null":
        return {"target": "the null server"}
    return probe.describe(address, workload.models(plan.scenario, plan.workload))


def _reference(plan: Plan, address: str, watch: Watch) -> Reference | None:
    wanted = plan.scenario.quality
    open_loop = not isinstance(plan.scenario.phases[0].arrivals, Closed)
    if not wanted.reference or not open_loop or plan.scenario.target.kind == "null":
        return None
    numbers = np.unique(plan.message_numbers())
    rng = np.random.default_rng(plan.scenario.workload.seed)
    some = rng.permutation(numbers)[: wanted.reference_messages_max]
    transport = plan.scenario.target.transport
    return reference.ask(
        lambda: make(transport, address, 1), plan.workload, some, wanted.against, watch.asking
    )


def _send(plan: Plan, address: str, place: Path, watch: Watch) -> _Look:
    schedule, rows_count = plan.schedule, len(plan.schedule.intended_ns)
    path, messages = place / PART_FILE, place / "messages.part"
    workload.write(plan.workload, messages)
    columns = {
        "message": plan.message_numbers(),
        "class": schedule.classes,
        "phase": schedule.phase,
        "process": schedule.process,
        "intended_ns": schedule.intended_ns,
        "candidates": plan.workload.candidates[plan.message_numbers()],
    }
    rows = store.create(path, columns, rows_count)
    longest_s = deadline_s(max(budgets_ms(plan.scenario)))
    try:
        with pool.started(_tasks(plan, address, path, messages)) as clients, _beside(plan.cores):
            watch.begins(plan, rows)
            beside = _Beside(plan.scenario.target.metrics_url)

            def look(now_s: float) -> None:
                beside.look(now_s)
                watch.look(now_s)

            try:
                seen, stopped_s = clients.run(plan.duration_s + longest_s, look)
            finally:
                watch.ends()
            beside.last(plan.duration_s)
        recorded, samples = _collect(plan, rows, seen, stopped_s)
    finally:
        path.unlink(missing_ok=True)
        messages.unlink(missing_ok=True)
    alive = tuple(one for one in seen if one is not None)
    return _Look(
        recorded, alive, tuple(beside.ticks), tuple(beside.pages), samples, stopped_s, len(seen) - len(alive)
    )


def _tasks(plan: Plan, address: str, path: Path, messages: Path) -> list[Task]:
    """One per process."""
    scenario, schedule = plan.scenario, plan.schedule
    timeouts_s = np.array([deadline_s(budget) for budget in budgets_ms(scenario)])
    arrivals = scenario.phases[0].arrivals
    tasks = []
    for number in range(plan.processes):
        mine = np.flatnonzero(schedule.process == number)
        callers = None
        if isinstance(arrivals, Closed):
            share = arrivals.in_flight // plan.processes + (number < arrivals.in_flight % plan.processes)
            callers = (share, arrivals.think_ms / 1e3, schedule.ends_ns[0])
        tasks.append(
            Task(
                transport=scenario.target.transport,
                address=address,
                connections=scenario.target.connections,
                store=str(path),
                rows=len(schedule.intended_ns),
                mine=mine,
                messages=str(messages),
                timeout_s=timeouts_s[schedule.classes[mine]],
                sampled=schedule.sampled[mine],
                core=plan.cores[number] if plan.cores else None,
                in_flight_max=scenario.client.in_flight_max,
                throttle=scenario.client.throttle,
                closed=callers,
            )
        )
    return tasks


@contextlib.contextmanager
def _beside(cores: tuple[int, ...]) -> Iterator[None]:
    """Keep this process, too, off the cores that may be the server's."""
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, set(cores))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class _Beside:
    """Looks at the machine and at the server's metrics, once a second, in a thread of its own for the
    latter."""

    def __init__(self, metrics_url: str) -> None:
        self.ticks: list[machine.Ticks] = []
        self.pages: list[server_metrics.Page] = []
        self._url = metrics_url
        self._next_s = 0.0
        self._reader: threading.Thread | None = None

    def look(self, now_s: float) -> None:
        """Look, when a second has passed."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + SAMPLE_S
        self.ticks.append(machine.ticks(now_s))
        if self._url and (self._reader is None or not self._reader.is_alive()):
            self._reader = threading.Thread(target=self._read, args=(now_s,), daemon=True)
            self._reader.start()

    def last(self, now_s: float) -> None:
        """Look once more."""
        if self._reader is not None:
            self._reader.join(2 * server_metrics.PAGE_S_MAX)
        self._next_s = 0.0
        self.look(now_s)
        if self._reader is not None:
            self._reader.join(2 * server_metrics.PAGE_S_MAX)

    def _read(self, now_s: float) -> None:
        # A server that is drowned may not tell: its account then has a gap, and the run goes on.
        with contextlib.suppress(OSError, ValueError):
            text = server_metrics.read(self._url)
            server_metrics.check(text)
            unix_s = datetime.now(UTC).timestamp()
            self.pages.append(server_metrics.Page(now_s, unix_s, text))


def _collect(
    plan: Plan, rows: NDArray[Any], seen: list[Seen | None], stopped_s: float | None
) -> tuple[Records, tuple[tuple[int, bytes], ...]]:
    """The records with one table of reasons for all processes, and the sampled answers by message."""
    kept = np.array(rows)
    names = list(dict.fromkeys(["", *(name for one in seen if one is not None for name in one.reasons)]))
    samples: list[tuple[int, bytes]] = []
    for number, one in enumerate(seen):
        mine = np.flatnonzero(plan.schedule.process == number)
        if one is None:
            kept["reason"][mine] = 0
            continue
        moved = np.array([names.index(name) for name in one.reasons], np.uint8)
        kept["reason"][mine] = moved[kept["reason"][mine]]
        samples += [(int(kept["message"][mine[at]]), data) for at, data in one.samples]
    if isinstance(plan.scenario.phases[0].arrivals, Closed):
        kept = np.sort(kept[kept["sent_ns"] >= 0], order="intended_ns")
    if stopped_s is not None:
        kept = kept[kept["intended_ns"] < stopped_s * 1e9]
    return Records(kept, tuple(names)), tuple(samples)


def _evidence(
    plan: Plan, created: str, served: dict[str, str], found: Reference | None, looks: list[_Look]
) -> Evidence:
    """Everything that was seen, the looks one behind the other on one axis of time."""
    period_ns = plan.schedule.ends_ns[-1] + GAP_NS
    names = list(dict.fromkeys(name for look in looks for name in look.records.reasons))
    parts = []
    for number, look in enumerate(looks):
        rows = look.records.rows.copy()
        rows["reason"] = np.array([names.index(name) for name in look.records.reasons], np.uint8)[
            rows["reason"]
        ]
        for column in ("intended_ns", "sent_ns", "done_ns"):
            rows[column][rows[column] >= 0] += number * period_ns
        parts.append(rows)
    truth = _truth(plan, found)
    samples = [sample for look in looks for sample in look.samples]
    calibration = plan.calibration
    return Evidence(
        created=created,
        scenario=plan.scenario,
        records=Records(np.concatenate(parts), tuple(names)),
        starts_ns=plan.schedule.starts_ns,
        ends_ns=plan.schedule.ends_ns,
        passes=[Pass(look.seen, look.ticks, look.pages, look.died, look.stopped_s) for look in looks],
        truth=truth,
        determinism=determinism.compare(samples, truth) if truth is not None and found is not None else None,
        workload=plan.facts,
        processes=plan.processes,
        cores=plan.cores,
        judged_per_s_max=calibration.judged_per_s_max if calibration else None,
        calibrated=calibration.created if calibration else "",
        schedule_sha256=plan.schedule.digest,
        environment=environment.describe() | served,
    )


def _truth(plan: Plan, found: Reference | None) -> Truth | None:
    """What the orders are worth; None when neither labels nor the idle server say anything."""
    work = plan.workload
    if found is None and not work.labels:
        return None
    count, total = len(work.messages), int(work.candidates.sum())
    prior = np.full((count, TOP), -1, np.int16)
    for at, order in enumerate(work.prior_orders):
        prior[at, : len(order[:TOP])] = order[:TOP]
    nothing = np.full((count, TOP), -1, np.int16)
    return Truth(
        labels=np.concatenate(work.labels) if work.labels else np.zeros(total, np.float32),
        offsets=np.concatenate([[0], np.cumsum(work.candidates)]),
        prior_top=prior,
        alone_top=nothing if found is None else found.alone,
        against_top=nothing if found is None else found.against,
        asked=np.zeros(count, np.bool_) if found is None else found.asked,
        alone_scores=np.full(total, np.nan, np.float32) if found is None else found.scores,
    )
