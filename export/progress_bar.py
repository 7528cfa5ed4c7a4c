"""The bar of `podium export`: which step runs, how many there are, how long it has taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


@contextmanager
def step_bar(terminal: Console, steps: Sequence[str]) -> Iterator[Callable[[str], None]]:
    """Show a bar until the block ends, then remove it; where the output is no terminal, show nothing.

    Yields:
        what to call with the name of each step as it starts; one that is left out counts as done.
    """
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("loading the spec", total=len(steps))
        yield lambda step: bar.update(task, completed=steps.index(step), description=step)
