"""`podium loadtest` and `python -m loadtest`: run, report.

Exit codes: 0 pass, 1 fail (also: nothing could be measured), 2 usage, 3 invalid, 4 inconclusive.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from loadtest.run import Run

app = typer.Typer(
    name="loadtest",
    no_args_is_help=True,
    add_completion=False,
    help="The measuring instrument: open-loop load, honest tails, a verdict as the exit code.",
)

EXIT_FAILED = 1
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON (run.json's form)")]


@app.command(
    epilog="example: podium loadtest run --target 127.0.0.1:50051 --budget-ms 25 --rate 300 "
    "--requests models/movies/1/requests/eval.podium"
)
def run(
    target: Annotated[str, typer.Option(help="host:port of the server")],
    requests: Annotated[Path, typer.Option(help="request set to replay")],
    rate: Annotated[float, typer.Option(help="requests per second, Poisson arrivals")],
    budget_ms: Annotated[float, typer.Option(help="what an answer may take")],
    duration: Annotated[float, typer.Option(help="measured seconds")] = 30.0,
    warmup: Annotated[float, typer.Option(help="seconds of load before, not judged")] = 2.0,
    model: Annotated[str, typer.Option(help="model to ask, instead of the messages' own")] = "",
    labels: Annotated[Path | None, typer.Option(help="the request set's labels.npz: measure nDCG@10")] = None,
    percentile: Annotated[float, typer.Option(help="share that must keep the budget")] = 0.99,
    confidence: Annotated[float, typer.Option(help="of the verdict")] = 0.99,
    seed: Annotated[int, typer.Option(help="same seed, same schedule")] = 0,
    connections: Annotated[int, typer.Option(help="per process")] = 2,
    processes: Annotated[int, typer.Option(help="client processes")] = 1,
    out: Annotated[Path | None, typer.Option(help="folder for run.json, records.npz, report.html")] = None,
    as_json: AsJson = False,
) -> None:
    """Offer one load level and judge whether the budget was kept.

    Arrivals never wait for answers; latency counts from the instant at which a request should have been
    sent; an admitted request without an answer counts as infinitely late.
    """
    from loadtest.plan import Plan

    try:
        plan = Plan(
            target=target,
            requests=str(requests),
            model=model,
            rate_per_s=rate,
            duration_s=duration,
            warm_up_s=warmup,
            budget_ms=budget_ms,
            labels=str(labels or ""),
            percentile=percentile,
            confidence=confidence,
            seed=seed,
            connections=connections,
            processes=processes,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    # SciPy and gRPC take a while to import: not for --help or a mistyped option.
    from loadtest import report as reports
    from loadtest.run import RunFailed, execute, save

    try:
        with _progress() as bar:
            shown = bar.add_task(f"{rate:g} requests/s", total=1.0)
            result, recorded = execute(plan, lambda share: bar.update(shown, completed=share))
        if out is not None:
            save(result, recorded, out, reports.render(result))
    except (RunFailed, OSError) as error:
        _fail(str(error))
    _show(result, as_json)


@app.command(epilog="example: podium loadtest report build/loadtest")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="what `run --out` wrote")],
    as_json: AsJson = False,
) -> None:
    """Show the result of an earlier run again; the exit code is its verdict's."""
    from loadtest.run import load

    try:
        result = load(folder)
    except (ValueError, OSError) as error:
        _fail(str(error))
    _show(result, as_json)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    Args:
        argv: arguments without the program's name; None = those of the process.
    """
    try:
        app(args=None if argv is None else list(argv), prog_name="podium loadtest")
    except SystemExit as end:  # typer's way of returning an exit code, after printing usage errors itself
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _show(result: Run, as_json: bool) -> None:
    from loadtest.table import print_run
    from loadtest.verdict import EXIT_CODES

    if as_json:
        sys.stdout.write(result.encode().decode())
    else:
        print_run(result, Console())
    raise typer.Exit(EXIT_CODES[result.judgement.verdict])


def _fail(sentence: str) -> None:
    Console(stderr=True).print(f"[red]loadtest failed[/]: {escape(sentence)}", soft_wrap=True)
    raise typer.Exit(EXIT_FAILED)
