"""How every verb fails: one sentence on stderr, exit code 1, no traceback."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

EXIT_FAILED = 1


def fail(verb: str, sentence: object) -> NoReturn:
    """Say why and leave.

    Raises:
        typer.Exit: always.
    """
    Console(stderr=True).print(
        f"[red]podium {verb}[/]: {escape(str(sentence))}", soft_wrap=True, highlight=False
    )
    raise typer.Exit(EXIT_FAILED)
