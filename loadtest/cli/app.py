"""The verbs, put together."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from loadtest.cli import check, results, run, search

app = typer.Typer(
    name="loadtest",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The measuring instrument: open-loop load, honest tails, a verdict as the exit code.",
)

run.add_to(app)
search.add_to(app)
results.add_to(app)
check.add_to(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return its exit code.

    Args:
        argv: arguments without the program's name; None = those of the process.
    """
    try:
        app(args=None if argv is None else list(argv), prog_name="podium loadtest")
    except SystemExit as end:  # typer's way of returning an exit code, after printing usage errors itself
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
