"""Servers: one for the whole session, which tests only read from, and a factory for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles.tiny import STRICT, TINY, WORDS
from tests.e2e.calls import Caller, dial
from tests.e2e.running import RunningServer, Start
from tests.e2e.streams import DOORS, Asker, knock


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serves `tiny` (an unknown id takes the default row), `strict` (it is invalid) and `words`."""
    folder = tmp_path_factory.mktemp("server")
    for ranker in (TINY, STRICT, WORDS):
        ranker.write(folder / "models")
    running = RunningServer.start(folder / "models", folder / "stderr.txt", [])
    try:
        assert (200, "ready\n") == running.get("/readyz"), running.errors.read_text()
        yield running
    finally:
        code = running.stop()
    assert 0 == code


@pytest.fixture
def caller(server: RunningServer) -> Iterator[Caller]:
    with dial(server.target) as caller:
        yield caller


@pytest.fixture(params=DOORS)
def asker(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[Asker]:
    """Each door in turn."""
    with knock(server.target, request.param) as asker:
        yield asker


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers of the test's own; each must end with exit code 0, unless the test has seen it end."""
    servers: list[RunningServer] = []

    def begin(models: Path, *arguments: str, env: dict[str, str] | None = None) -> RunningServer:
        errors = tmp_path / f"stderr-{len(servers)}.txt"
        servers.append(RunningServer.start(models, errors, arguments, env))
        return servers[-1]

    yield begin
    alive = [running for running in servers if running.process.poll() is None]
    assert [0] * len(alive) == [running.stop() for running in alive]
