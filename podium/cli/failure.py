"""How every verb fails: one sentence on stderr, exit code 1, no traceback."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

EXIT_FAILED = 1


def fail(verb: str, why: str | Exception) -> NoReturn:
    """Say why and leave.

    Raises:
        typer.Exit: always.
    """
    if isinstance(why, OSError) and why.filename is not None:
        why = f"{why.filename}: {why.strerror}"  # without the number that nobody reads
    Console(stderr=True).print(f"[red]podium {verb}[/]: {escape(str(why))}", soft_wrap=True, highlight=False)
    raise typer.Exit(EXIT_FAILED)
