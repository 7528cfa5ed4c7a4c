"""`calibrate`, `selftest`, `mlperf`: is the instrument itself right?"""

from __future__ import annotations

import sys

import msgspec
import typer
from rich.console import Console

from loadtest.cli.failure import fail
from loadtest.cli.options import AsJson, Out, with_scenario
from loadtest.cli.run import fresh_folder, measuring, planned
from loadtest.cli.search import INVALID
from loadtest.scenario.form import Scenario


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""

    @app.command(epilog="example: podium loadtest calibrate --bundle models/movies/1")
    @with_scenario
    def calibrate(scenario: Scenario, as_json: AsJson = False) -> None:
        """Find what one client process can do here, against a server that does nothing; it is kept."""
        from loadtest import calibrate as calibrating

        console = Console(stderr=True)
        with measuring():
            found = calibrating.calibrate(
                scenario, lambda line: console.print(line, highlight=False, soft_wrap=True)
            )
        if not found.judged_per_s_max:
            fail("no rate could be judged here: a guard tripped at the lowest; nothing is kept", INVALID)
        path = calibrating.default_path()
        try:
            calibrating.keep(found, path)
        except OSError as error:
            fail(f"{path}: {error.strerror}")
        if as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
        else:
            print(
                f"one client process judges up to {found.judged_per_s_max:.0f} requests/s of about "
                f"{found.request_bytes:,} bytes here (ceiling {found.ceiling_per_s:.0f}/s); kept in {path}"
            )

    @app.command(epilog="example: podium loadtest selftest")
    def selftest(as_json: AsJson = False) -> None:
        """Measure a mock server whose truths are known, and compare; under a minute."""
        from loadtest.selftest.run import run

        raise typer.Exit(run(as_json=as_json))

    @app.command(
        epilog="example: podium loadtest mlperf --target 127.0.0.1:50051 --bundle models/movies/1 --rate 300"
    )
    @with_scenario
    def mlperf(scenario: Scenario, out: Out = None, as_json: AsJson = False) -> None:
        """The same promise judged by MLPerf's LoadGen (Server scenario), beside ours; extra `mlperf`."""
        from loadtest.mlperf import side_by_side

        raise typer.Exit(side_by_side(planned(scenario), out or fresh_folder("mlperf"), as_json=as_json))
