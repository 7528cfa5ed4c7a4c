"""A run on the terminal."""

import io

import pytest
from rich.console import Console

from loadtest.report import words
from loadtest.report.terminal import print_run
from loadtest.result import Run
from tests.unit.loadtest.report import example
from tests.unit.loadtest.report.hostile import ATTACK, attacked


def printed(run: Run) -> list[str]:
    """The lines, without colour."""
    console = Console(file=io.StringIO(), width=140)
    print_run(run, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("name", sorted(example.EXAMPLES))
def test_verdict_first_reason_second_numbers_third(name: str) -> None:
    """Whatever happened, the first line is the verdict with its promise, the second says why."""
    run, _ = example.EXAMPLES[name]()
    first, second, *rest = printed(run)

    assert first.startswith(f"{run.judgement.verdict.name}  p99 within 25 ms")
    assert f"{run.judgement.sentence}.".lower() == second.lower()
    assert run.counts == any(line.startswith("milliseconds") for line in rest)


def test_an_invalid_run_has_no_numbers() -> None:
    """A figure beside the word INVALID would be quoted without it."""
    run, _ = example.invalid()
    said = printed(run)
    assert words.WITHHELD in said
    assert not any("goodput" in line or line.startswith("milliseconds") for line in said)


def test_guards_are_shown_only_when_they_tripped() -> None:
    """A good run is not drowned in what did not go wrong."""
    good, bad = (printed(example.EXAMPLES[name]()[0]) for name in ("passed", "invalid"))

    assert [] == [line for line in good if "guard" in line]
    assert 2 == len([line for line in bad if line.startswith("guard tripped in steady")])


def test_every_phase_has_its_verdict() -> None:
    """A sweep's table names each phase, judged or not."""
    run, _ = example.failed()
    rows = {line.split("  ")[0]: line.split()[-1] for line in printed(run) if "×" in line}

    assert {
        "warm-up": "-", "0.5x up": "PASS", "1x up": "PASS", "2x up": "PASS", "5x up": "FAIL",
        "2x down": "PASS", "0.5x down": "PASS",
    } == rows  # fmt: skip


def test_a_pipe_breaks_no_row() -> None:
    """Eighty columns are a terminal's, not a file's: each phase keeps one line."""
    run, _ = example.failed()
    console = Console(file=io.StringIO(), width=60)
    print_run(run, console)
    assert isinstance(console.file, io.StringIO)

    rows = [line.split() for line in console.file.getvalue().splitlines() if "×" in line]
    assert ["-", "PASS", "PASS", "PASS", "FAIL", "PASS", "PASS"] == [row[-1] for row in rows]


def test_brackets_of_others_are_no_markup() -> None:
    """rich reads [red] as a colour; what others wrote is printed as it is."""
    run, _ = attacked(*example.failed())

    assert any(ATTACK in line for line in printed(run))
