"""h2load of nghttp2 against a real server: a third implementation of HTTP/2, in C, as fast as it can."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from http2.messages import prefixed
from tests.bundles.tiny import TINY
from tests.e2e.running import RunningServer
from tests.system.tools import tool

pytestmark = pytest.mark.system

CALLS = 3000


@pytest.fixture(scope="module")
def h2load() -> str:
    return tool("h2load", "nghttp2-client")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    TINY.write(folder / "models")
    running = RunningServer.start(folder / "models", folder / "stderr.txt", [])
    yield running
    assert 0 == running.stop()


@pytest.mark.parametrize("window_bits", [10, 16, 30])
@pytest.mark.parametrize("candidates", [3, 300])
def test_every_call_is_answered(
    h2load: str, server: RunningServer, tmp_path: Path, candidates: int, window_bits: int
) -> None:
    """4 connections, 64 calls at once on each, windows of 1 KiB, 64 KiB and 1 GiB: none fails."""
    message = TINY.message(TINY.example(candidates)).SerializeToString()
    (tmp_path / "body").write_bytes(prefixed(message))
    before = server.metrics().total("podium_requests_total")
    said = subprocess.run(
        [
            h2load,
            f"--requests={CALLS}",
            "--clients=4",
            "--max-concurrent-streams=64",
            f"--window-bits={window_bits}",
            f"--data={tmp_path / 'body'}",
            "--header=content-type: application/grpc",
            "--header=te: trailers",
            f"http://{server.target}/podium.v1.Ranker/Rank",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert f"{CALLS} done, {CALLS} succeeded, 0 failed, 0 errored, 0 timeout" in said, said
    assert re.search(rf"status codes: {CALLS} 2xx, 0 3xx, 0 4xx, 0 5xx", said), said
    assert CALLS == server.metrics().total("podium_requests_total") - before
