"""The run as it goes, on the terminal: a table on a TTY, a plain line every few seconds elsewhere.

It reads the records that the client processes write; nothing is sent to or from them for its sake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.live import Live as RichLive
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from loadtest.plan import Plan
from loadtest.records import ANSWERED, ENDINGS, MISSING, NEVER_NS, NOT_ADMITTED
from loadtest.scenario.form import Closed
from loadtest.schedule.build import budgets_ms

TTY_S: Final = 0.5
PLAIN_S: Final = 5.0
LATEST: Final = 20_000
"""Percentiles so far are those of so many latest requests: a long run must not slow its own client."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands. Rates over the last second, counts since the start."""

    phase: str
    at_s: float
    offered_per_s: float
    achieved_per_s: float
    in_flight: int
    p50_ms: float
    p99_ms: float
    violations: float
    refused: float
    send_lag_p99_ms: float


def standing(plan: Plan, rows: NDArray[Any], now_s: float) -> Standing:
    """Fold what is there so far."""
    now_ns = round(now_s * 1e9)
    # A closed loop has no instants to look for: it fills its rows from the first on.
    closed = isinstance(plan.scenario.phases[0].arrivals, Closed)
    due = int((rows["sent_ns"] >= 0).sum() if closed else np.searchsorted(plan.schedule.intended_ns, now_ns))
    recent = rows[max(0, due - LATEST) : due]
    sent = recent["sent_ns"] != NEVER_NS
    # The sender writes the instant first: a record may be between the two.
    done = (recent["done_ns"] != NEVER_NS) & (recent["ending"] != ENDINGS.index(MISSING))
    answered = recent["ending"] == ENDINGS.index(ANSWERED)
    refused = np.isin(recent["ending"], [ENDINGS.index(ending) for ending in NOT_ADMITTED])
    ended_ms = (recent["done_ns"] - recent["intended_ns"]) / 1e6
    budget_ms = np.array(budgets_ms(plan.scenario))[recent["class"]]
    admitted = done & ~refused
    latency_ms = np.where(answered, ended_ms, np.inf)[admitted]
    late = int((latency_ms > budget_ms[admitted]).sum())
    phases = np.searchsorted(plan.schedule.starts_ns, now_ns, side="right") - 1
    return Standing(
        phase=plan.scenario.phases[max(int(phases), 0)].name,
        at_s=now_s,
        offered_per_s=float((recent["intended_ns"] > now_ns - 1_000_000_000).sum()),
        achieved_per_s=float((answered & (recent["done_ns"] > now_ns - 1_000_000_000)).sum()),
        in_flight=int((sent & ~done).sum()),
        p50_ms=_quantile(latency_ms, 0.5),
        p99_ms=_quantile(latency_ms, 0.99),
        violations=late / max(int(admitted.sum()), 1),
        refused=float(refused.sum()) / max(int(done.sum()), 1),
        send_lag_p99_ms=_quantile((recent["sent_ns"] - recent["intended_ns"])[sent] / 1e6, 0.99),
    )


class Live:
    """Shows a run on a console; a `loadtest.run.Watch`."""

    def __init__(self, console: Console, say: Callable[[str], None] | None = None) -> None:
        self._console = console
        self._tty = console.is_terminal
        self._say = say or (lambda line: console.print(line, highlight=False, soft_wrap=True))
        self._next_s = 0.0
        self._shown: RichLive | None = None
        self._bar: Progress | None = None
        self._plan: Plan | None = None
        self._rows: NDArray[Any] = np.zeros(0)

    def asking(self, share: float) -> None:
        """A progress bar on a TTY."""
        if not self._tty:
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("asking the idle server"), BarColumn(), console=self._console, transient=True
            )
            self._bar.add_task("", total=1.0)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=share)

    def begins(self, plan: Plan, rows: NDArray[Any]) -> None:
        """Open the table."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._plan, self._rows, self._next_s = plan, rows, 0.0
        if self._tty:
            self._shown = RichLive(console=self._console, auto_refresh=False, transient=True)
            self._shown.start()

    def look(self, now_s: float) -> None:
        """Show how it stands, when it is time."""
        if self._plan is None or now_s < self._next_s:
            return
        self._next_s = now_s + (TTY_S if self._tty else PLAIN_S)
        found = standing(self._plan, self._rows, now_s)
        if self._shown is not None:
            self._shown.update(_table(found, self._plan.duration_s), refresh=True)
        elif now_s >= 1:
            self._say(_line(found, self._plan.duration_s))

    def ends(self) -> None:
        """Close it."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None


def _cells(found: Standing, duration_s: float) -> list[tuple[str, str]]:
    return [
        ("phase", found.phase),
        ("time", f"{min(found.at_s, duration_s):.0f}/{duration_s:.0f} s"),
        ("offered", f"{found.offered_per_s:.0f}/s"),
        ("achieved", f"{found.achieved_per_s:.0f}/s"),
        ("in flight", f"{found.in_flight}"),
        ("p50", f"{found.p50_ms:.2f} ms"),
        ("p99", f"{found.p99_ms:.2f} ms"),
        ("violations", f"{found.violations:.2%}"),
        ("refused", f"{found.refused:.2%}"),
        ("send lag p99", f"{found.send_lag_p99_ms:.2f} ms"),
    ]


def _table(found: Standing, duration_s: float) -> Table:
    cells = _cells(found, duration_s)
    table = Table(*(name for name, _ in cells), box=None, pad_edge=False)
    table.add_row(*(value for _, value in cells))
    return table


def _line(found: Standing, duration_s: float) -> str:
    return "  ".join(f"{name} {value}" for name, value in _cells(found, duration_s))


def _quantile(values: NDArray[Any], share: float) -> float:
    if not len(values):
        return 0.0
    at = min(int(share * len(values)), len(values) - 1)
    return float(np.partition(values, at)[at])
