"""A run on the terminal: verdict first, reason second, numbers third."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from loadtest.report import tables, words
from loadtest.result import Run
from loadtest.verdict import Verdict

STYLES: Final[Mapping[Verdict, str]] = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.UNSTABLE: "yellow",
    Verdict.INVALID: "magenta",
}
_WIDTH_MOST: Final = 200


def print_run(run: Run, console: Console) -> None:
    """Print the result of a run."""
    verdict = run.judgement.verdict
    heading = Text.assemble((verdict.name, f"bold {STYLES[verdict]}"), "  ", words.promise(run))
    console.print(heading, soft_wrap=True)
    for line in (words.sentence(run), words.interruption(run)):
        _say(console, line)
    for line in _tripped(run):
        _say(console, line)
    if not run.counts:
        _say(console, words.WITHHELD)
        return
    console.print()
    rows = [[name, *cells] for name, cells in tables.latency_rows(run.summary)]
    print_table(console, ["milliseconds", *tables.LATENCY_COLUMNS], rows)
    console.print()
    if len(run.phases) > 1:
        print_table(console, tables.phase_columns(run), [tables.phase_row(phase) for phase in run.phases])
        console.print()
    for line in _facts(run):
        _say(console, line)


def print_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print cells as they are: no markup, the first column to the left, verdicts in their colour."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    for at, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if at == 0 else "right", no_wrap=at == 0)
    styles = {verdict.name: style for verdict, style in STYLES.items()}
    for row in rows:
        table.add_row(*(Text(cell, styles.get(cell, "")) for cell in row))
    # A file or a pipe has no width to keep to, and no reader wants its numbers broken over lines.
    if not console.is_terminal:
        table.width = Measurement.get(console, console.options.update(max_width=_WIDTH_MOST), table).maximum
    console.print(table, crop=console.is_terminal)


def _tripped(run: Run) -> list[str]:
    """One line per tripped guard: its worst phase stands for all."""
    said = []
    for entry, phase in tables.guards(run):
        if entry.tripped:
            _, value, limit, *_ = tables.guard_row(entry, phase)
            phases = sum(other.name == entry.name for other, _ in tables.tripped(run))
            where = phase if phases == 1 else f"{phase} and {words.count(phases - 1, 'other phase')}"
            said.append(f"guard tripped in {where}: {entry.name} {value}, limit {limit} ({entry.says})")
    return said


def _facts(run: Run) -> list[str]:
    numbers = run.summary
    rates = [("offered", numbers.offered_per_s), ("goodput", numbers.goodput_per_s)]
    rates += [("degraded", numbers.degraded_goodput_per_s)] if numbers.degraded else []
    said = [", ".join(f"{name} {words.per_second(rate)}" for name, rate in rates), words.counts(numbers)]
    said.append(f"door: {words.door(run)}")
    if interval := words.interval(numbers.tail):
        name = f"{words.confidence(run)} interval of the {words.percentile_name(run)}"
        said.append(f"{name}: {interval} ms ({numbers.tail.method})")
    said += [f"{entry.count:,} {words.ending(entry)}" for entry in numbers.refused]
    if run.quality is not None:
        said.append(words.ranking(run.quality))
        lost = [f"{name} {words.signed(-value)}" for name, value in words.losses(run.quality)]
        said += [f"nDCG lost: {', '.join(lost)}"] if lost else []
    said += [words.determinism(run), *words.recoveries(run), *run.notes]
    return [line for line in said if line]


def _say(console: Console, line: str) -> None:
    if line:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
