"""One scenario judged twice: by us, and by MLPerf's LoadGen. Extra `mlperf`.

Refusals count against the server in LoadGen's verdict (`loadtest.loadgen`), while ours leaves out those that
promise nothing: with refusals the two may rightly disagree, and their number is shown.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from loadtest.live import Live
from loadtest.loadgen import DISTRIBUTION, LoadGenFailed, LoadGenSays, Order, installed, measure
from loadtest.outputs import save
from loadtest.plan import Plan
from loadtest.report import words
from loadtest.report.terminal import print_table
from loadtest.result import Milliseconds
from loadtest.run import RunFailed, execute
from loadtest.scenario.form import Phase, Poisson
from loadtest.schedule.build import budgets_ms
from loadtest.verdict import EXIT_CODES, Verdict

FOLDER: Final = "loadgen"
USAGE: Final = 2
INTERRUPTED: Final = 130


class SideBySide(msgspec.Struct, frozen=True, kw_only=True):
    """Both verdicts on one scenario, as `--json` prints them.

    Attributes:
        agree: None = there is nothing to compare: one of the two could not tell.
    """

    agree: bool | None
    verdict: Verdict
    sentence: str
    p50_ms: Milliseconds
    p99_ms: Milliseconds
    requests: int
    refused: int
    loadgen_verdict: Verdict
    loadgen: LoadGenSays
    loadgen_version: str


def side_by_side(plan: Plan, out: Path, *, as_json: bool = False) -> int:
    """Run the scenario ourselves, then through LoadGen, and print both.

    Args:
        out: our run's files; LoadGen's go to its folder `loadgen`.

    Returns:
        Our verdict's exit code; 1 when LoadGen says the opposite, or failed; 2 for a scenario that it cannot
        send, or without it.
    """
    if not installed():
        return _failed("MLPerf's LoadGen is not installed: pip install 'podium[mlperf]'", USAGE)
    if why := _not_servers(plan):
        return _failed(f"LoadGen's Server scenario is {why}: take another scenario", USAGE)
    try:
        outcome = execute(plan, out, Live(Console(stderr=True)))
        save(outcome, out)
        if outcome.run.interrupted_after_s is not None:
            return _failed(f"interrupted; what was measured is in {out}", INTERRUPTED)
        says = measure(_order(plan, out / FOLDER), plan.workload.messages)
    except (RunFailed, LoadGenFailed, OSError) as error:
        return _failed(str(error), 1)
    run = outcome.run
    both = SideBySide(
        agree=compare(run.judgement.verdict, says.verdict),
        verdict=run.judgement.verdict,
        sentence=run.judgement.sentence,
        p50_ms=run.summary.latency.p50_ms,
        p99_ms=run.summary.latency.p99_ms,
        requests=run.summary.scheduled,
        refused=run.summary.scheduled - run.summary.admitted,
        loadgen_verdict=says.verdict,
        loadgen=says,
        loadgen_version=importlib.metadata.version(DISTRIBUTION),
    )
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(both), indent=2).decode() + "\n")
    else:
        _show(both, Console())
    return 1 if both.agree is False else EXIT_CODES[both.verdict]


def compare(ours: Verdict, theirs: Verdict) -> bool | None:
    """Whether two verdicts agree; None when one of them decides nothing."""
    if ours is theirs:
        return True
    decided = {Verdict.PASS, Verdict.FAIL}
    return False if {ours, theirs} == decided else None


def _not_servers(plan: Plan) -> str:
    """Why LoadGen cannot send this scenario, or ""."""
    scenario = plan.scenario
    if scenario.target.kind != "rank":
        return "for a server"
    if scenario.target.transport == "stream":
        return "sent to Rank, not to RankStream"
    if len({phase.arrivals for phase in _measured(plan)}) > 1:
        return "one rate from beginning to end"
    if not all(isinstance(phase.arrivals, Poisson) for phase in scenario.phases):
        return "Poisson arrivals at one rate"
    if len(scenario.workload.mix) > 1:
        return "one kind of request with one budget"
    return ""


def _measured(plan: Plan) -> list[Phase]:
    return [phase for phase in plan.scenario.phases if phase.measure]


def _order(plan: Plan, folder: Path) -> Order:
    scenario, phases = plan.scenario, _measured(plan)
    arrivals = phases[0].arrivals
    assert isinstance(arrivals, Poisson)
    return Order(
        address=scenario.target.address,
        connections=scenario.target.connections,
        folder=folder,
        rate_per_s=scenario.rate_per_s * arrivals.load,
        duration_s=sum(phase.duration_s for phase in phases),
        budget_ms=budgets_ms(scenario)[0],
        percentile=scenario.slo.percentile,
        cores=plan.cores,
    )


def _show(both: SideBySide, console: Console) -> None:
    says = both.loadgen
    rows = [
        ["verdict", both.verdict.name, both.loadgen_verdict.name],
        ["p50, ms", words.milliseconds(both.p50_ms), words.milliseconds(says.p50_ms)],
        ["p99, ms", words.milliseconds(both.p99_ms), words.milliseconds(says.p99_ms)],
        ["requests", f"{both.requests:,}", f"{says.queries:,}"],
        ["refused", f"{both.refused:,}", ""],
        ["told as late, without an answer", "", f"{says.not_answered:,}"],
    ]
    print_table(console, ["", "podium", f"LoadGen {both.loadgen_version}"], rows)
    console.print()
    said = {True: "the verdicts agree", False: "the verdicts DISAGREE", None: "nothing to compare"}[
        both.agree
    ]
    console.print(f"{said}; ours: {both.sentence}", soft_wrap=True, markup=False, highlight=False)
    if both.refused:
        console.print(
            "LoadGen knows no refusals: they were told to it as late answers", soft_wrap=True, highlight=False
        )


def _failed(sentence: str, code: int) -> int:
    Console(stderr=True).print(
        f"loadtest failed: {sentence}", style="red", soft_wrap=True, markup=False, highlight=False
    )
    return code
