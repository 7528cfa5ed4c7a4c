"""The command line: options, usage, earlier results shown again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.cli import main
from loadtest.cli.options import make
from loadtest.outputs import RUN_FILE
from loadtest.scenario.load import BadScenario
from tests.unit.loadtest.report import example

VERBS = ["run", "sweep", "capacity", "calibrate", "ab", "report", "selftest", "mlperf"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--rate", "fast"],
        ["run", "--rate", "-1"],
        ["run", "no-such-scenario"],
        ["run", "--set", "slo.percentile=101"],
        ["run", "--cores", "a"],
        ["sweep", "--rate", "5", "--loads", "1,much"],
        ["sweep-up"],
    ],
)
def test_a_usage_error_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments are said on standard error and end with 2, before anything is sent."""
    assert 2 == main(arguments)
    said = capsys.readouterr()
    assert "" == said.out
    assert said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command's --help has one."""
    assert 0 == main([verb, "--help"])
    assert f"example: podium loadtest {verb}" in capsys.readouterr().out


def test_help_needs_neither_scipy_nor_grpc() -> None:
    """--help answers at once: the heavy imports wait for a run."""
    script = (
        "import sys, loadtest.cli\n"
        "loadtest.cli.main(['run', '--help'])\n"
        "sys.stderr.write(' '.join({'scipy', 'grpc', 'plotly', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_options_are_keys_of_the_scenario() -> None:
    """A shorthand sets its key, --set any key, and words that look like numbers stay words."""
    found = make(
        "steady",
        {
            "target": "127.0.0.1:5",
            "model": "1.2",
            "transport": "stream",
            "rate": 300.0,
            "cores": "1,0",
            "duration": 7.0,
            "warmup": 0.0,
            "settings": ["slo.looks_max=3"],
        },
    )
    assert ("127.0.0.1:5", "stream", "1.2", 300.0, (1, 0), 3) == (
        found.target.address,
        found.target.transport,
        found.workload.model,
        found.rate_per_s,
        found.client.cores,
        found.slo.looks_max,
    )
    assert [("steady", 7.0)] == [(phase.name, phase.duration_s) for phase in found.phases]


@pytest.mark.parametrize("said", [{"duration": 0.0}, {"duration": -1.0}, {"warmup": -1.0}])
def test_durations_must_be_possible(said: dict[str, float]) -> None:
    """A measured phase of no length is no measurement."""
    with pytest.raises(BadScenario, match="--duration must be above 0, --warmup 0 or more"):
        make("steady", said)


def test_a_folder_without_a_run_fails_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`report` of something else: exit 1, naming the file."""
    assert 1 == main(["report", str(tmp_path)])
    assert "run.json" in capsys.readouterr().err
    (tmp_path / RUN_FILE).write_text("{}")
    assert 1 == main(["report", str(tmp_path)])
    assert "run.json" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "code"), [("passed", 0), ("failed", 1), ("invalid", 3)])
def test_report_shows_an_earlier_run_and_its_verdict(
    name: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same JSON and the same exit code as when it was run; the verdict is the first word."""
    run, _ = getattr(example, name)()
    (tmp_path / RUN_FILE).write_bytes(run.encode())
    assert code == main(["report", str(tmp_path)])
    assert capsys.readouterr().out.startswith(run.judgement.verdict.name)
    assert code == main(["report", str(tmp_path), "--json"])
    assert json.loads(run.encode()) == json.loads(capsys.readouterr().out)


def test_report_compares_several_with_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No verdict of its own: exit 0."""
    for name in ("passed", "failed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / RUN_FILE).write_bytes(getattr(example, name)()[0].encode())
    assert 0 == main(["report", str(tmp_path / "passed"), str(tmp_path / "failed")])
    assert "baseline" in capsys.readouterr().out
