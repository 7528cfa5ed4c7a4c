"""Runs side by side."""

import io

import msgspec
import pytest
from rich.console import Console

from loadtest.report import compare
from loadtest.result import Run
from tests.unit.loadtest.report import example
from tests.unit.loadtest.report.hostile import attacked
from tests.unit.loadtest.report.test_page import read


def slower(run: Run, factor: float) -> Run:
    """The same run with a tail that much longer."""
    tail = run.summary.tail
    values = (tail.value_ms, tail.low_ms, tail.high_ms)
    value, low, high = (factor * float(entry) for entry in values if entry is not None)
    changed = msgspec.structs.replace(tail, value_ms=value, low_ms=low, high_ms=high)
    return msgspec.structs.replace(run, summary=msgspec.structs.replace(run.summary, tail=changed))


def test_equal_premises_leave_only_the_caveat() -> None:
    """Two runs of one schedule on one machine: not interleaved, and nothing else to warn of."""
    run, _ = example.passed()

    assert [] == compare.warnings([("a", run), ("b", slower(run, 1.2))])
    assert compare.CAVEAT in compare.markdown([("a", run), ("b", run)])


def test_every_other_premise_is_warned_of_by_name() -> None:
    """Schedule, workload, door, budget, machine; an invalid and an interrupted run."""
    base, _ = example.passed()
    other = msgspec.structs.replace(
        base,
        schedule_sha256="0" * 64,
        workload=msgspec.structs.replace(base.workload, sha256="1" * 64),
        scenario=msgspec.structs.replace(
            base.scenario,
            slo=msgspec.structs.replace(base.scenario.slo, budget_ms=50.0),
            target=msgspec.structs.replace(base.scenario.target, transport="stream"),
        ),
        environment={**base.environment, "cpu": "another"},
    )
    said = compare.warnings(
        [("a", base), ("b", other), ("c", example.invalid()[0]), ("d", example.interrupted()[0])]
    )

    assert [
        "b: not the same schedule, workload, door and budget as a.",
        "b: not the same machine or software as a: cpu.",
        "c is INVALID: its numbers do not count.",
        "d was interrupted.",
    ] == said


@pytest.mark.parametrize(
    ("factor", "said"),
    [(1.01, "p99 +1.0 %, the intervals overlap"), (2.0, "p99 +100.0 %, the intervals are apart")],
)
def test_a_change_says_whether_the_intervals_overlap(factor: float, said: str) -> None:
    """A ratio alone would claim too much."""
    run, _ = example.passed()
    (line,) = compare.differences([("a", run), ("b", slower(run, factor))])

    assert line.startswith(f"b against a: {said}")


def test_infinity_has_no_ratio() -> None:
    """Against a tail that was never answered, both are named instead."""
    (line,) = compare.differences([("a", example.passed()[0]), ("b", example.failed()[0])])

    assert line.startswith("b against a: p99 13.0 ms before, ∞ now;")


def test_all_three_forms_show_every_run() -> None:
    """Markdown, HTML and terminal name every run, its verdict and its numbers."""
    runs = [("first", example.passed()[0]), ("second", example.failed()[0])]
    console = Console(file=io.StringIO(), width=140)
    compare.print_runs(runs, console)
    assert isinstance(console.file, io.StringIO)

    for shown in (compare.markdown(runs), compare.html(runs), console.file.getvalue()):
        assert [] == [
            wanted
            for wanted in ("first (baseline)", "second", "PASS", "FAIL", "299.9/s", "160.7/s", "0.4708")
            if wanted not in shown
        ]


def test_the_page_is_whole_whatever_it_is_given() -> None:
    """What others wrote adds no element."""
    run, _ = attacked(*example.failed())
    outline = read(compare.html([("<b>", run), ("b", run)]))

    assert [] == outline.open
    assert ["data:,"] == outline.links


def test_one_run_cannot_be_compared() -> None:
    """It says so instead of showing an empty table."""
    with pytest.raises(ValueError, match="two runs"):
        compare.markdown([("a", example.passed()[0])])
