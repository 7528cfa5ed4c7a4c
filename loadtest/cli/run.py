"""`run`: one scenario, one verdict."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from loadtest.cli.failure import INTERRUPTED, fail, usage
from loadtest.cli.options import AsJson, Out, with_scenario
from loadtest.scenario.form import Scenario, Target

if TYPE_CHECKING:
    from loadtest.assess import Outcome
    from loadtest.plan import Plan
    from loadtest.result import Calibration
    from loadtest.verdict import Judgement

RUNS = Path("runs")


def add_to(app: typer.Typer) -> None:
    """Register the verb."""

    @app.command(
        epilog="example: podium loadtest run steady --target 127.0.0.1:50051 --bundle models/movies/1 "
        "--rate 300"
    )
    @with_scenario
    def run(
        scenario: Scenario,
        out: Out = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan, send nothing")] = False,
        gate: Annotated[
            bool,
            typer.Option("--gate", help="hold it to the scenario's gate, on a calibrated client"),
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Run a scenario and judge whether the budget was kept.

        Arrivals never wait for answers; latency counts from the instant at which a request should have been
        sent; an admitted request without an answer counts as infinitely late. The verdict is the exit code.
        """
        plan = planned(scenario)
        if dry_run:
            from loadtest.dry_run import describe

            print("\n".join(describe(plan)))
            return
        finish(plan, out or fresh_folder(plan.scenario.name), gate=gate, as_json=as_json)


def calibration_for(request_bytes: int, target: Target) -> Calibration | None:
    """What this user's client is known to do on this machine."""
    from loadtest import calibrate

    return calibrate.find(request_bytes, target, calibrate.default_path())


@contextlib.contextmanager
def measuring() -> Iterator[None]:
    """What cannot be planned or measured ends the verb with a sentence."""
    from loadtest.plan import BadPlan
    from loadtest.run import RunFailed

    try:
        yield
    except BadPlan as error:
        usage(str(error))
    except RunFailed as error:
        fail(str(error))


def planned(scenario: Scenario) -> Plan:
    """The plan, or the end with a sentence."""
    from loadtest.plan import prepare

    with measuring():
        return prepare(scenario, calibration_for)
    raise AssertionError("measuring ends the verb")


def finish(plan: Plan, out: Path, *, gate: bool, as_json: bool) -> None:
    """Run it, keep it, show it, and leave with its verdict."""
    from loadtest.gate import judge_gate
    from loadtest.live import Live
    from loadtest.report.terminal import print_run
    from loadtest.run import execute
    from loadtest.verdict import EXIT_CODES

    with measuring():
        outcome = execute(plan, out, Live(Console(stderr=True)))
    judgement: Judgement = judge_gate(outcome.run) if gate else outcome.run.judgement
    lost = _saved(outcome, out)
    if as_json:
        sys.stdout.write(outcome.run.encode().decode())
    else:
        console = Console()
        print_run(outcome.run, console)
        if gate:
            console.print(
                f"gate: {judgement.verdict.name}, {judgement.sentence}", soft_wrap=True, markup=False
            )
        if not lost:
            console.print(f"report: {out / 'report.html'}", soft_wrap=True, highlight=False)
    if lost:
        fail(lost)
    if outcome.run.interrupted_after_s is not None:
        fail(
            f"interrupted after {outcome.run.interrupted_after_s:.1f} s; what was measured is in {out}",
            INTERRUPTED,
        )
    raise typer.Exit(EXIT_CODES[judgement.verdict])


def fresh_folder(name: str) -> Path:
    """Where a run goes that was not told where."""
    return RUNS / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def _saved(outcome: Outcome, out: Path) -> str:
    """Keep what can be kept; a sentence about what could not."""
    from loadtest.outputs import save

    try:
        save(outcome, out)
    except OSError as error:
        return f"not everything could be written to {out}: {error.strerror}; the result is above"
    return ""
