"""`loadtest selftest`: run the experiments, compare, say so. Exit code 0 when every check holds, else 1."""

from __future__ import annotations

import sys
import time
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest.run import RunFailed
from loadtest.selftest.check import Check, Value
from loadtest.selftest.checks import checks
from loadtest.selftest.experiments import EXPERIMENTS, perform

WIDTH: Final = 150
"""Where the output is no terminal."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The selftest's result, as `--json` prints it."""

    ok: bool
    seconds: float
    repeats: int
    checks: list[Check]


def run(*, as_json: bool = False) -> int:
    """Measure mock servers whose truths are known; return the exit code."""
    began_ns = time.monotonic_ns()
    aside = Console(stderr=True)
    rows: list[Check] = []
    repeats = 0
    for experiment in EXPERIMENTS:
        try:
            found = perform(experiment, lambda line: aside.print(line, markup=False, soft_wrap=True))
        except (RunFailed, RuntimeError) as error:
            why = str(error)
            rows.append(Check(experiment=experiment.name, name="ran", injected="yes", measured="no", why=why))
            continue
        repeats += found.repeats
        rows += checks(found)
    report = Report(
        ok=all(row.ok for row in rows),
        seconds=(time.monotonic_ns() - began_ns) / 1e9,
        repeats=repeats,
        checks=rows,
    )
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    else:
        _show(report, Console() if sys.stdout.isatty() else Console(width=WIDTH))
    return 0 if report.ok else 1


def _show(report: Report, console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in ("experiment", "check", "injected", "measured", "allowed error", "", "why"):
        table.add_column(column, justify="right" if column in ("injected", "measured") else "left")
    before = ""
    for row in report.checks:
        said = Text("ok", "green") if row.ok else Text("WRONG", "bold red")
        name = "" if row.experiment == before else row.experiment
        table.add_row(
            name, row.name, _value(row.injected), _value(row.measured), _error(row), said, Text(row.why)
        )
        before = row.experiment
    console.print(table)
    wrong = sum(not row.ok for row in report.checks)
    repeated = f", {report.repeats} repeated on a noisy machine" if report.repeats else ""
    console.print(
        f"\nselftest: {len(report.checks) - wrong} of {len(report.checks)} checks hold, "
        f"{report.seconds:.0f} s{repeated}",
        style="bold red" if wrong else "bold green",
        highlight=False,
    )


def _value(value: Value) -> str:
    if value is None:
        return "too few"
    if isinstance(value, str):
        return value
    return (
        f"{value:,.0f}" if value == int(value) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    )


def _error(row: Check) -> str:
    if not row.below and not row.above:
        return "none"
    if row.below == row.above:
        return f"±{row.above:.3g}"
    return f"-{row.below:.3g} +{row.above:.3g}"
