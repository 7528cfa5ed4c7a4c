"""The command line: usage, a missing result, an earlier result shown again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest import run
from loadtest.cli import main
from loadtest.records import ANSWERED
from tests.unit.loadtest.made import made
from tests.unit.loadtest.test_report import make_run

SOUND = ["run", "--target", "h:1", "--requests", "r", "--rate", "10", "--budget-ms", "25"]


@pytest.mark.parametrize(
    "arguments",
    [
        SOUND[:-2],
        [*SOUND, "--rate", "0"],
        [*SOUND, "--rate", "fast"],
        [*SOUND, "--percentile", "99"],
        ["sweep-up"],
    ],
    ids=["missing", "zero", "a word", "out of range", "no such verb"],
)
def test_a_usage_error_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments are said on standard error and end with 2, before anything is sent."""
    assert 2 == main(arguments)
    assert "" == capsys.readouterr().out


@pytest.mark.parametrize("verb", ["run", "report"])
def test_help_shows_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command's --help has one."""
    assert 0 == main([verb, "--help"])
    assert f"example: podium loadtest {verb}" in capsys.readouterr().out


def test_help_needs_neither_scipy_nor_grpc() -> None:
    """--help answers at once: the heavy imports wait for a run."""
    script = (
        "import sys, loadtest.cli\n"
        "loadtest.cli.main(['run', '--help'])\n"
        "sys.stderr.write(' '.join({'scipy', 'grpc'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_a_request_set_that_is_not_there_fails_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1, naming the file."""
    missing = tmp_path / "none.podium"
    assert 1 == main([*SOUND, "--requests", str(missing)])
    said = capsys.readouterr()
    assert "" == said.out
    assert str(missing) in said.err


def test_a_folder_without_a_run_fails_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`report` of something else: exit 1, naming the file."""
    assert 1 == main(["report", str(tmp_path)])
    assert "run.json" in capsys.readouterr().err


@pytest.mark.parametrize(("late", "code", "word"), [(0, 0, "PASS"), (100, 1, "FAIL"), (5, 4, "INCONCLUSIVE")])
def test_report_shows_an_earlier_run_and_its_verdict(
    late: int, code: int, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same table, the same JSON, the same exit code as when it was run."""
    records = made(*[(0.0, 0.0, 1.0, ANSWERED)] * (500 - late), *[(0.0, 0.0, 30.0, ANSWERED)] * late)
    run.save(make_run(records), records, tmp_path, "")

    assert code == main(["report", str(tmp_path)])
    assert f"{word}  p99 within 25 ms at 100 requests/s: {late} of 500" in capsys.readouterr().out
    assert code == main(["report", str(tmp_path), "--json"])
    assert json.loads((tmp_path / run.RUN_FILE).read_text()) == json.loads(capsys.readouterr().out)
