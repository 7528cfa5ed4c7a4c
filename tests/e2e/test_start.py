"""A server that cannot serve as configured does not start: exit code 1 and one sentence that says why."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import onnxruntime
import pytest

from tests.bundles.tiny import TINY
from tests.e2e.calls import dial
from tests.e2e.running import REPOSITORY, Start, start_and_fail


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    TINY.write(folder)
    return folder


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that someone else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


SETTINGS = [
    pytest.param("batch.rows_maxx=3", "batch.rows_maxx: unknown configuration key", id="unknown key"),
    pytest.param("bach.rows_max=3", "bach: unknown configuration key", id="unknown section"),
    pytest.param("batch.rows_max=0", "batch.rows_max: expected `int` >= 1", id="value out of range"),
    pytest.param(
        "drain.lame_duck_s=soon", "drain.lame_duck_s: expected `float`, got `str`", id="value of wrong type"
    ),
    pytest.param("models.tiny.budget=5", "models.tiny.budget: unknown configuration key", id="model's key"),
    pytest.param("listen", "--set listen: expected a.b=value", id="no value"),
]


@pytest.mark.parametrize(("setting", "sentence"), SETTINGS)
def test_a_bad_set_stops_the_start(models: Path, setting: str, sentence: str) -> None:
    """`--set` names the key's path in its complaint."""
    assert (1, f"podium: {sentence}\n") == start_and_fail(["--models", str(models), "--set", setting])


def test_a_bad_environment_key_stops_the_start(models: Path) -> None:
    """PODIUM_A__B is held to the same keys."""
    expected = (1, "podium: engine.kindd: unknown configuration key\n")
    assert expected == start_and_fail(["--models", str(models)], {"PODIUM_ENGINE__KINDD": "ort"})


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        pytest.param("[batch]\nrows = 5\n", "batch.rows: unknown configuration key", id="unknown key"),
        pytest.param(
            "[models.tiny]\nbudget_ms = 0\n", "models.tiny.budget_ms: expected `float` > 0.0", id="bad value"
        ),
        pytest.param("[batch\n", "configuration file: Expected ']'", id="no TOML"),
    ],
)
def test_a_bad_file_stops_the_start(tmp_path: Path, models: Path, toml: str, sentence: str) -> None:
    """The TOML file is held to the same keys."""
    file = tmp_path / "podium.toml"
    file.write_text(toml)
    code, said = start_and_fail(["--models", str(models), "--config", str(file)])
    assert (1, True, 1) == (code, said.startswith(f"podium: {sentence}"), said.count("\n")), said


def test_a_missing_file_stops_the_start(tmp_path: Path, models: Path) -> None:
    """A configuration file that is asked for must be there."""
    file = tmp_path / "podium.toml"
    expected = (1, f"podium: --config {file}: No such file or directory\n")
    assert expected == start_and_fail(["--models", str(models), "--config", str(file)])


def test_later_sources_win(tmp_path: Path, models: Path, start: Start) -> None:
    """TOML, then environment, then --set: each model budget comes from the last source that names it."""
    file = tmp_path / "podium.toml"
    file.write_text("[models.tiny]\nbudget_ms = 111\n[drain]\nlame_duck_s = 9\n")
    server = start(models, "--config", str(file), env={"PODIUM_MODELS__TINY__BUDGET_MS": "222"})
    with dial(server.target) as caller:
        assert 222_000 == caller.models("tiny")[0].budget_us


def test_a_taken_port_stops_the_start(models: Path, taken: int) -> None:
    """Neither door is shared with whoever listens there already."""
    arguments = ["--models", str(models), "--port", str(taken)]
    sentence = f"listen.grpc_port: cannot listen on 127.0.0.1:{taken}; is it in use?"
    code, said = start_and_fail(arguments)
    assert (1, f"podium: {sentence}") == (code, said.splitlines()[-1])


def test_a_taken_operations_port_stops_the_start(models: Path, taken: int) -> None:
    """A server that nobody can watch does not start."""
    sentence = f"listen.ops_port: cannot listen on 127.0.0.1:{taken}: Address already in use"
    code, said = start_and_fail(["--models", str(models), "--ops-port", str(taken)])
    assert (1, f"podium: {sentence}") == (code, said.splitlines()[-1])


@pytest.mark.parametrize("provider", ["CUDAExecutionProvider", "NoSuchExecutionProvider"])
def test_a_missing_execution_provider_stops_the_start(models: Path, provider: str) -> None:
    """ONNX Runtime would fall back to the CPU in silence; Podium says what is missing and what there is."""
    if provider in onnxruntime.get_available_providers():
        pytest.skip(f"this machine has {provider}")
    setting = f'engine.providers=["{provider}"]'
    code, said = start_and_fail(["--models", str(models), "--set", setting])
    sentence = f"podium: engine.providers: {provider} is not available"
    assert (1, True) == (code, said.startswith(sentence)), said
    assert "available: " in said
    assert "CPUExecutionProvider" in said


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_folder_without_bundles_stops_the_start(tmp_path: Path, name: str) -> None:
    """An empty or absent folder is a mistake, not an empty server."""
    (tmp_path / "empty").mkdir()
    folder = tmp_path / name
    sentence = f"no bundles in {folder}: expected folders NAME/VERSION with a bundle.json"
    assert (1, f"podium: {sentence}\n") == start_and_fail(["--models", str(folder)])


def test_an_unknown_option_is_a_usage_error() -> None:
    """Exit code 2, as for every command."""
    assert 2 == start_and_fail(["--modles", "x"])[0]


def test_the_start_log_says_what_was_chosen(models: Path, start: Start) -> None:
    """Threads, providers and readiness stand in one line, so that a slow server can be explained."""
    line = start(models, "--set", "engine.intra_op_threads=1").logged("started")
    assert (True, [], ["CPUExecutionProvider"], 1, 1) == (
        line["ready"],
        line["missing"],
        line["providers"],
        line["executors"],
        line["intra_op_threads"],
    )


def test_help_has_an_example() -> None:
    """`--help` ends in a command that can be copied."""
    done = subprocess.run(
        [sys.executable, "-m", "server", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "example: podium serve --models" in " ".join(done.stdout.split())
