"""`podium health`: the probe of containers says what gRPC's health service says."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from podium.health import NoAnswer, check, main
from tests.bundles.tiny import STRICT, TINY
from tests.e2e.running import REPOSITORY, RunningServer, Start, environment

Captured = pytest.CaptureFixture[str]


def test_a_ready_server_and_its_models_are_serving(server: RunningServer, capsys: Captured) -> None:
    """Exit code 0 and one word, for the server and for a model."""
    assert 0 == main(["--target", server.target])
    assert 0 == main(["--target", server.target, "--model", "tiny"])
    assert "SERVING\nSERVING\n" == capsys.readouterr().out


def test_a_model_that_is_not_there_is_unknown(server: RunningServer, capsys: Captured) -> None:
    """Exit code 1, and the health protocol's word for it."""
    assert 1 == main(["--target", server.target, "--model", "other"])
    assert "SERVICE_UNKNOWN\n" == capsys.readouterr().out


def test_a_refused_model_is_not_serving(tmp_path: Path, start: Start) -> None:
    """The server and the model that it refused are NOT_SERVING, the other model is SERVING."""
    STRICT.write(tmp_path / "models")
    (TINY.write(tmp_path / "models") / "bundle.json").write_text("{}")
    host, _, port = start(tmp_path / "models").target.rpartition(":")
    states = [check(host, int(port), service, 5.0) for service in ("", "model/tiny", "model/strict")]
    assert ["NOT_SERVING", "NOT_SERVING", "SERVING"] == states


def test_nobody_listening_is_one_sentence(capsys: Captured) -> None:
    """Exit code 1, nothing on standard output."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        assert 1 == main(["--target", target])
    said = capsys.readouterr()
    assert "" == said.out
    assert said.err.startswith(f"podium: {target}: ")


def test_a_server_that_never_answers_is_given_up() -> None:
    """A socket that accepts and says nothing costs the timeout, not for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NoAnswer, match="no answer in time"):
        check("127.0.0.1", silent.getsockname()[1], "", 0.05)


def test_a_server_of_another_protocol_is_one_sentence(server: RunningServer) -> None:
    """The operations port speaks HTTP/1: no traceback."""
    port = int(server.ops_url.rpartition(":")[2])
    with pytest.raises(NoAnswer):
        check("127.0.0.1", port, "", 1.0)


def test_a_bad_target_is_a_usage_error() -> None:
    """Exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(["--target", "nowhere"])
    assert 2 == caught.value.code


def test_the_probe_loads_no_grpc(server: RunningServer) -> None:
    """It runs every few seconds on the cores that rank: neither gRPC nor protobuf, numpy or ONNX Runtime."""
    heavy = ("grpc", "google.protobuf", "numpy", "onnxruntime", "typer")
    code = (
        "import sys; from podium.health import main; main(sys.argv[1:]);"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--target", server.target],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "SERVING\n[]\n" == done.stdout
