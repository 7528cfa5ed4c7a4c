"""`report`: results of earlier runs, one or several."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loadtest.cli.failure import fail, usage
from loadtest.cli.options import AsJson


def add_to(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command(epilog="example: podium loadtest report runs/steady-20260101-120000")
    def report(
        folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="what `run` wrote")],
        fold: Annotated[
            bool,
            typer.Option(
                "--fold", help="make every number again from the records, and write the reports anew"
            ),
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Show one run again, with its verdict as the exit code; or several beside the first."""
        from loadtest.outputs import fold_again, load_run, save_again
        from loadtest.report import compare
        from loadtest.report.terminal import print_run
        from loadtest.verdict import EXIT_CODES

        if fold and len(folders) > 1:
            usage("--fold takes one run at a time")
        try:
            if fold:
                save_again(fold_again(folders[0]), folders[0])
            runs = [(str(folder), load_run(folder)) for folder in folders]
        except (ValueError, OSError) as error:
            fail(str(error))
        if len(runs) > 1:
            compare.print_runs(runs, Console())
            return
        (_, run), *_ = runs
        if as_json:
            sys.stdout.write(run.encode().decode())
        else:
            print_run(run, Console())
        raise typer.Exit(EXIT_CODES[run.judgement.verdict])
