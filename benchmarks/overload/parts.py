"""The parts of the proof in order: measure, print, keep; later parts read what earlier ones kept."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from benchmarks.overload import capacity, fifo, figure, idle, stalls, storm, sweep, table, workloads
from benchmarks.overload.capacity import Capacity, Effort
from benchmarks.overload.law import goodput_share
from benchmarks.overload.point import Point
from loadtest.scenario.form import Transport

OTHER_BUDGETS_MS: Final = (10.0, 50.0)
MODELS: Final = ("movies", "lambdarank")
FIGURE: Final = Path("docs/figures/overload.svg")
TRIAL_ADMITTED: Final = 0.03
"""Of the admitted per point, in a trial of the baseline's grid."""
FIFO_SHARE: Final = 0.25
"""The baseline's points carry no verdict: fewer requests say enough."""
MODELS_SHARE: Final = 4.0
"""Requests to the real models are small and come by the thousand per second: what disturbs a server for
20 ms breaks twenty of them at once, so that 10,000 say little; and a throttle takes seconds to settle."""
_T = TypeVar("_T")


class Others(msgspec.Struct, frozen=True):
    """Other budgets and models."""

    capacities: list[Capacity]
    points: list[Point]


class Baseline(msgspec.Struct, frozen=True):
    """The grid, what it chose, and its sweep; beside each point the plan's, measured just before it."""

    trials: list[fifo.Trial]
    chosen: fifo.Setting
    plan: list[Point]
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Order:
    """How much of everything.

    Attributes:
        admitted: per point of the sweep.
        out: where JSON and tables go.
    """

    admitted: int = 10_000
    out: Path = workloads.BUILD

    @property
    def small(self) -> bool:
        """A smoke run: shorter everywhere, and no figure for the docs."""
        return self.admitted < 2_000


class Proof:
    """Runs parts; `done` says what was missed, one sentence each."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.missed: list[str] = []
        order.out.mkdir(parents=True, exist_ok=True)

    def capacity(self) -> None:
        """C(D), costs, and what the server reaches of it."""
        work = workloads.overload()
        small = self._order.small
        effort = Effort(raw_s=3.0, cost_s=2.0, asked=200) if small else Effort()
        effort = msgspec.structs.replace(effort, admitted=max(self._order.admitted * 4 // 10, 200))
        found = capacity.measure(work, effort)
        self._keep("capacity", found, table.capacity([found]))
        if found.ratio < table.MUST_RATIO:
            self.missed.append(f"capacity is {found.ratio:.3f} of C(D), must be {table.MUST_RATIO}")

    def sweep(self) -> None:
        """25 ms, six loads, both doors."""
        known = self._capacity()
        points = sweep.measure(
            workloads.overload(), known.reference, sweep.both_doors(), self._order.admitted, self._say
        )
        self._keep("sweep", points, table.points(points))
        self.missed += table.missed(points)

    def others(self) -> None:
        """10 and 50 ms, and the real models: two loads each."""
        two: list[tuple[Transport, float]] = [("http2", load) for load in sweep.TWO_LOADS]
        capacities, points = [], []
        small = self._order.small
        effort = Effort(
            raw_s=2.0 if small else 6.0,
            cost_s=2.0 if small else 3.0,
            admitted=max(self._order.admitted // 5, 200),
            asked=0,
        )
        for work in self._others():
            try:
                found = capacity.measure(work, effort)
            except RuntimeError as error:  # the others can still be measured
                self.missed.append(str(error))
                continue
            capacities.append(found)
            admitted = round((MODELS_SHARE if work.name in MODELS else 1.0) * self._order.admitted)
            points += sweep.measure(work, found.reference, two, admitted, self._say)
        text = f"{table.capacity(capacities)}\n\n{table.points(points)}"
        self._keep("others", Others(capacities, points), text)
        self.missed += table.missed(points)

    def throttled(self) -> None:
        """Where saying no to the largest load takes the whole core: callers who say it themselves."""
        known = self._load("others", Others)
        if known is None:
            raise SystemExit("throttled: which models need it is not known yet: run the part others first")
        works = {work.name: work for work in self._others()}
        unary: list[tuple[Transport, float]] = [("http2", load) for load in sweep.LOADS]
        admitted = round(MODELS_SHARE * self._order.admitted)
        points = []
        for found in known.capacities:
            if not goodput_share(max(sweep.LOADS), found.reference.refusal_ratio):
                points += sweep.measure(
                    works[found.workload], found.reference, unary, admitted, self._say, throttle=True
                )
        self._keep("throttled", points, table.points(points, judged=False))

    def fifo(self) -> None:
        """The baseline: tuned, then swept beside the plan."""
        work, reference = workloads.overload(), self._capacity().reference
        seconds = max(self._order.admitted * TRIAL_ADMITTED / reference.per_s, 1.0)
        found = fifo.tune(work, reference, seconds, self._say, coarse=self._order.small)
        chosen = fifo.best(found)
        admitted = round(FIFO_SHARE * self._order.admitted)
        plan, points = list[Point](), list[Point]()
        for load in sweep.LOADS:  # in turn: the machine is faster at times
            plan += sweep.measure(work, reference, [("http2", load)], admitted, self._say)
            points += sweep.measure(work, reference, [("http2", load)], admitted, self._say, chosen.sets)
        text = (
            f"{table.trials(found, chosen)}\n\nFIFO, {chosen.words}:\n\n{table.points(points, judged=False)}"
            f"\n\n{table.beside(plan, points)}"
        )
        self._keep("fifo", Baseline(found, chosen, plan, points), text)

    def stalls(self) -> None:
        """Runs that do not end, and a process that stands still."""
        known = self._capacity()
        found = stalls.measure(workloads.overload(), known.times, known.reference)
        self._keep("stalls", found, table.stalls(found))
        self.missed += [f"stall: {one.kind}" for one in found if not one.passed]

    def storm(self) -> None:
        """Retries without backoff; the baseline beside it where it was tuned."""
        policies: list[tuple[str, Sequence[str]]] = [("plan", ())]
        baseline = self._load("fifo", Baseline)
        if baseline is not None:
            policies.append(("FIFO at its best", baseline.chosen.sets))
        found = storm.measure(workloads.overload(), self._capacity().reference, policies)
        self._keep("storm", found, table.storms(found))
        self.missed += [
            f"storm: not back within {storm.BACK_S_MAX:g} s after {one.trigger}"
            for one in found
            if one.policy == "plan" and not one.passed
        ]

    def idle(self) -> None:
        """Admission's cost at one in flight."""
        small = self._order.small
        blocks = 3 if small else idle.BLOCKS
        asked = [
            idle.smallest(300 if small else 2000),
            idle.typical(workloads.overload(), 40 if small else 250),
        ]
        found = [idle.measure(one, blocks) for one in asked]
        self._keep("idle", found, table.idles(found))
        self.missed += [f"idle: {one.workload} {one.verdict}" for one in found if one.verdict != "PASS"]

    def figure(self) -> None:
        """Draw what was measured; into the docs, unless it was a smoke run."""
        baseline = self._load("fifo", Baseline)
        plan = baseline.plan if baseline else self._load("sweep", list[Point])
        if plan is None:
            raise SystemExit("figure: there is no sweep yet: python -m benchmarks.overload sweep")
        drawn = figure.svg(
            plan, baseline.points if baseline else [], self._capacity().reference.refusal_ratio
        )
        path = self._order.out / "overload.svg" if self._order.small else FIGURE
        path.write_text(drawn, encoding="utf-8")
        print(f"figure: {path}")

    def seconds(self, part: str) -> float:
        """About how long a part takes, from the capacity where it is known."""
        known = self._load("capacity", Capacity)
        per_s = known.reference.per_s if known else 190.0
        ratio = known.reference.refusal_ratio if known else 0.03
        small, admitted = self._order.small, self._order.admitted
        start = 5.0

        def points(loads: Sequence[float], share: float = 1.0) -> float:
            each = [
                sweep.seconds_for(round(share * admitted), goodput_share(load, ratio), per_s) + 4
                for load in loads
            ]
            return sum(each)

        trial = max(admitted * TRIAL_ADMITTED / per_s, 1.0)
        grid = len(fifo.grid(25.0, coarse=small)) * (trial + start)
        finals = fifo.FINALISTS * len(fifo.DELAYS_MS) * (fifo.FINAL_LONGER * trial + start)
        asked = 0.0 if small else sum(Effort().asked / (share * 115) + 4 for share in capacity.LADDER)
        return {
            "capacity": (75 if small else 110) + 0.4 * admitted / per_s + asked,
            "sweep": start + points((*sweep.LOADS, *sweep.STREAM_LOADS)),
            "others": 4 * (50 if small else 60) + 3 * points(sweep.TWO_LOADS),
            "throttled": 2 * points(sweep.LOADS, MODELS_SHARE * 190.0 / 4000.0),
            "fifo": grid + finals + 2 * points(sweep.LOADS, FIFO_SHARE),
            "stalls": 3 * (stalls.SECONDS + start),
            "storm": 8 * (storm.CALM_S + storm.TRIGGER_S + storm.AFTER_S + start),
            "idle": 15 if small else 75,
            "figure": 0.0,
        }[part]

    def _others(self) -> list[workloads.Workload]:
        """Budgets and models beside the proof's own."""
        return [
            *(workloads.overload(budget) for budget in OTHER_BUDGETS_MS),
            *(workloads.real(model) for model in MODELS),
        ]

    def _capacity(self) -> Capacity:
        """Kept by the part of that name, which runs now if it has not."""
        if self._load("capacity", Capacity) is None:
            self.capacity()
        found = self._load("capacity", Capacity)
        assert found is not None
        return found

    def _say(self, line: str) -> None:
        print(line, flush=True)

    def _keep(self, part: str, found: Any, text: str) -> None:
        about = f"{dt.date.today()}, {_cpu()}, {_data()}"
        print(f"\n## {part}: {about}\n\n{text}\n", flush=True)
        encoded = msgspec.json.format(msgspec.json.encode(found), indent=1)
        (self._order.out / f"{part}.json").write_bytes(encoded)
        (self._order.out / f"{part}.md").write_text(f"{about}\n\n{text}\n", encoding="utf-8")

    def _load(self, part: str, kind: type[_T]) -> _T | None:
        path = self._order.out / f"{part}.json"
        if not path.is_file():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind, strict=False)
        except msgspec.DecodeError as error:
            raise SystemExit(f"{path}: not of this version of the benchmark ({error}); remove it") from None


PARTS: Final[dict[str, Callable[[Proof], None]]] = {
    "capacity": Proof.capacity,
    "sweep": Proof.sweep,
    "others": Proof.others,
    "throttled": Proof.throttled,
    "fifo": Proof.fifo,
    "stalls": Proof.stalls,
    "storm": Proof.storm,
    "idle": Proof.idle,
    "figure": Proof.figure,
}
"""In the order in which `all` runs them."""


def _cpu() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return model[1] if model else "unknown processor"


def _data() -> str:
    """What the overload bundle's requests are made of."""
    manifest = json.loads((workloads.built("overload") / "bundle.json").read_text())
    return str(manifest["source"].get("data", {}).get("source", "data unknown"))
