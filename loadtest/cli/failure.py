"""How a verb says that it could not: one sentence on standard error, and the exit code."""

from __future__ import annotations

from typing import Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


def fail(sentence: str, code: int = FAILED) -> NoReturn:
    """Nothing, or not all, could be measured."""
    Console(stderr=True).print(
        f"[red]loadtest failed[/]: {escape(sentence)}", soft_wrap=True, highlight=False
    )
    raise typer.Exit(code)


def usage(sentence: str) -> NoReturn:
    """The order itself was wrong."""
    fail(sentence, USAGE)
