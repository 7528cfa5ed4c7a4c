"""A run on the terminal: verdict first, reason second, numbers third."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtest.run import Run
from loadtest.verdict import Verdict
from loadtest.wording import COLUMNS, facts, percentile_rows, promise

_STYLE: Final = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.INVALID: "magenta",
}


def print_run(run: Run, console: Console) -> None:
    """Print the result of a run."""
    given = run.judgement
    verdict = f"[bold {_STYLE[given.verdict]}]{given.verdict.name}[/]"
    console.print(f"{verdict}  {promise(run)}: {escape(given.sentence)}", soft_wrap=True, highlight=False)
    table = Table("milliseconds", box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for name, cells in percentile_rows(run):
        table.add_row(name, *cells)
    console.print(table)
    for fact in facts(run):
        console.print(fact, soft_wrap=True, markup=False, highlight=False)
