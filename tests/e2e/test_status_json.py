"""What the operations port says of the server as JSON, and what `podium inspect` says of what it learned."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.calls import dial
from tests.e2e.running import RunningServer, Start
from tests.e2e.scripted import RANKER, blocked, stalled


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    RANKER.write(folder)
    return folder


def status(server: RunningServer) -> dict[str, Any]:
    code, text = server.get("/status.json")
    assert 200 == code
    found: dict[str, Any] = json.loads(text)
    return found


def test_it_tells_models_costs_and_configuration(models: Path, start: Start) -> None:
    """A run teaches, and the page shows it: predictions grow with candidates, the budget is the bundle's."""
    server = start(models, "--set=batch.chunk_ms_max=7")
    with dial(server.target) as caller:
        caller.send(RANKER.message(RANKER.example(40))).ranked()
    found = status(server)
    assert (True, "ready", "plan") == (found["ready"], found["state"], found["scheduler"]["policy"])
    (model,) = found["models"]
    assert ("tiny", 1, "fp32") == (model["model"], model["version"], model["default_variant"])
    assert {"critical": 2000.0, "default": 2000.0, "sheddable": 2000.0} == model["budget_ms"]
    cost = model["variants"]["fp32"]
    assert 1 == cost["runs"]
    assert sorted(cost["predicted_ms"].values()) == list(cost["predicted_ms"].values())
    assert cost["predicted_ms"]["1"] > 0
    assert 7.0 == found["configuration"]["batch"]["chunk_ms_max"]


def test_it_tells_a_stuck_executor(models: Path, start: Start) -> None:
    """While the only executor hangs, the page still answers, and says so."""
    server = stalled(start, models, 60_000)
    with dial(server.target) as caller:
        blocked(server, caller)
        server.wait_for(lambda scrape: 1 == scrape.total("podium_executors_stuck"))
        scheduler = status(server)["scheduler"]
        assert (1, 1) == (scheduler["executors_busy"], scheduler["executors_stuck"])


def test_inspect_shows_what_was_learned(models: Path, start: Start, tmp_path: Path) -> None:
    """`podium inspect --state-dir`: the variant, its run times and how many runs they come from."""
    server = start(models, f"--set=state_dir={tmp_path}")
    with dial(server.target) as caller:
        for _ in range(3):
            caller.send(RANKER.message(RANKER.example(40))).ranked()
    server.stop()
    command = [
        sys.executable,
        "-m",
        "podium",
        "inspect",
        str(models / "tiny" / "1"),
        "--state-dir",
        str(tmp_path),
    ]
    said = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    (cost,) = json.loads(said.stdout)["costs"]
    assert ("fp32", 3) == (cost["variant"], cost["runs"])
    assert cost["row_ns"] >= 0
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "mean run of one request" in said.stdout
