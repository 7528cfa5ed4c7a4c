"""`sweep`, `capacity`, `ab`: many runs, one answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from loadtest.cli.failure import INTERRUPTED, fail, usage
from loadtest.cli.options import AsJson, Out, with_scenario
from loadtest.cli.run import calibration_for, finish, fresh_folder, measuring, planned
from loadtest.scenario.form import Scenario

INVALID = 3
INCONCLUSIVE = 4
LOADS_MAX = 100
"""A run has at most 255 phases, and each load is offered twice."""


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    at = "--target 127.0.0.1:50051 --bundle models/movies/1"
    two = "--a 127.0.0.1:50051 --b 127.0.0.1:50052 --bundle models/movies/1"
    app.command(epilog=f"example: podium loadtest sweep {at} --rate 900")(with_scenario(sweep))
    app.command(epilog=f"example: podium loadtest capacity {at}")(with_scenario(capacity))
    app.command(epilog=f"example: podium loadtest ab {two} --rate 300")(with_scenario(ab))


def sweep(
    scenario: Scenario,
    loads: Annotated[str, typer.Option(help="multiples of --rate, as 0.5,1,2; default 0.2 to 2")] = "",
    step: Annotated[float, typer.Option(min=0.1, help="seconds per load")] = 10.0,
    out: Out = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan, send nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Offer loads up and down, then a spike; give --rate the capacity. Each load is judged on its own."""
    from loadtest import sweep as sweeping

    plan = planned(sweeping.scenario(scenario, _loads(loads) or sweeping.LOADS, step))
    if dry_run:
        from loadtest.dry_run import describe

        print("\n".join(describe(plan)))
        return
    finish(plan, out or fresh_folder(plan.scenario.name), gate=False, as_json=as_json)


def capacity(
    scenario: Scenario,
    step: Annotated[float, typer.Option(min=0.1, help="seconds per rate, at least")] = 10.0,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Find the largest rate at which the slo's share of all requests is answered in full in budget."""
    from loadtest import capacity as searching
    from loadtest.report.capacity import lines

    try:
        with measuring():
            found = searching.measure(scenario, step, calibration_for, _say)
    except searching.Aborted as error:
        if error.steps:
            _kept(error.steps, [], out or fresh_folder("capacity"), "steps.json", as_json=as_json)
        fail(str(error), INTERRUPTED if error.interrupted else INVALID)
    _kept(found, lines(found), out or fresh_folder("capacity"), "capacity.json", as_json=as_json)
    if found.passed_per_s is None:
        raise typer.Exit(INCONCLUSIVE)


def ab(
    scenario: Scenario,
    a: Annotated[str, typer.Option(help="host:port of the first server, the baseline")],
    b: Annotated[str, typer.Option(help="host:port of the second")],
    pairs: Annotated[int, typer.Option(min=2, help="pairs of blocks")] = 8,
    margin: Annotated[float, typer.Option(min=0.001, help="ratios within ±margin count as equal")] = 0.05,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Compare two servers: interleaved blocks (ABBA), the same schedule in a pair, paired ratios."""
    from loadtest import ab as duelling
    from loadtest.report.ab import lines

    with measuring():
        found = duelling.duel(scenario, (a, b), duelling.Manner(pairs, margin), calibration_for, _say)
    _kept(found, lines(found), out or fresh_folder("ab"), "ab.json", as_json=as_json)
    if found.interrupted:
        fail("interrupted; the pairs before count", INTERRUPTED)
    if found.invalid == pairs:
        fail("no pair counts: the client was the limit in every one", INVALID)


def _say(line: str) -> None:
    Console(stderr=True).print(line, highlight=False, soft_wrap=True)


def _kept(found: object, lines: list[str], folder: Path, name: str, *, as_json: bool) -> None:
    """Show the result, then keep it: a full disk must not take what was measured."""
    encoded = msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
    if as_json:
        sys.stdout.write(encoded.decode())
    else:
        print("\n".join(lines))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded)
    except OSError as error:
        fail(f"{folder / name} could not be written: {error.strerror}; the result is above")


def _loads(text: str) -> tuple[float, ...]:
    try:
        loads = tuple(float(part) for part in text.split(",") if part)
    except ValueError:
        usage(f"--loads {text}: must be numbers, as 0.5,1,2")
    if any(load <= 0 for load in loads) or len(loads) > LOADS_MAX:
        usage(f"--loads {text}: must be above 0, and at most {LOADS_MAX}")
    return loads
