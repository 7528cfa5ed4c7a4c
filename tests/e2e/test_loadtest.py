"""The load test against a real server: nothing lost, no stall hidden, and the verdict is the exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtest import arrivals, records
from loadtest.summary import latencies_ms
from protos.request_set import write_labels, write_messages
from tests.bundles.tiny import TINY
from tests.e2e.running import REPOSITORY, RunningServer, Start, environment

RUN_S_MAX = 60.0


@dataclass(frozen=True)
class Order:
    """One `loadtest run`: where to, and what is not the default."""

    target: str
    requests: Path
    out: Path
    rate: float = 200.0
    duration: float = 3.0
    warmup: float = 0.0
    budget_ms: float = 2000.0
    extra: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """As typed."""
        command = [sys.executable, "-m", "loadtest", "run", "--json", "--target", self.target]
        command += ["--requests", str(self.requests), "--out", str(self.out), "--rate", str(self.rate)]
        command += ["--duration", str(self.duration), "--warmup", str(self.warmup)]
        return [*command, "--budget-ms", str(self.budget_ms), *self.extra]

    @contextmanager
    def begun(self) -> Iterator[subprocess.Popen[str]]:
        """Start it; it is gone afterwards."""
        process = subprocess.Popen(
            self.command,
            cwd=REPOSITORY,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def run(self) -> tuple[int, str, str]:
        """Do it: exit code, standard output, standard error."""
        with self.begun() as process:
            output, errors = process.communicate(timeout=RUN_S_MAX)
            return process.returncode, output, errors


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """Five requests of 12 candidates; beside them labels by which candidate 0 alone is relevant."""
    examples = [TINY.example(12, seed) for seed in range(5)]
    path = tmp_path / "eval.podium"
    write_messages(path, [TINY.message(example).SerializeToString() for example in examples])
    write_labels(tmp_path / "labels.npz", [np.eye(1, 12, dtype=np.float32)[0]] * 5)
    return path


def serve_fake(start: Start, folder: Path, *settings: str) -> RunningServer:
    """A server with the fake engine, so that the test scripts how long a run takes."""
    TINY.write(folder / "models")
    sets = [word for setting in settings for word in ("--set", setting)]
    return start(folder / "models", "--engine", "fake", *sets)


def test_every_scheduled_request_is_sent_once_and_recorded(
    start: Start, requests: Path, tmp_path: Path
) -> None:
    """A quick server passes (exit 0); the server counts exactly the schedule, and so do the records."""
    server = serve_fake(start, tmp_path)
    labels = ("--labels", str(requests.with_name("labels.npz")), "--processes", "2", "--seed", "3")
    order = Order(
        server.target, requests, tmp_path / "out", rate=400.0, duration=1.5, warmup=0.5, extra=labels
    )
    code, output, errors = order.run()
    found: dict[str, Any] = json.loads(output)

    assert (0, "pass") == (code, found["judgement"]["verdict"]), errors
    scheduled = arrivals.poisson(400, 2.0, seed=3)
    recorded = records.load(order.out / "records.npz")
    np.testing.assert_array_equal(scheduled, recorded.rows["intended_ns"])
    assert len(scheduled) == server.metrics().total("podium_requests_total", model="tiny")
    measured = int((scheduled >= 500_000_000).sum())
    summary = found["summary"]
    assert (measured, measured, measured) == (
        summary["scheduled"],
        summary["admitted"],
        summary["answered"],
    )
    assert summary["goodput_per_s"] == pytest.approx(measured / 1.5)
    assert 0 < summary["quality"]["perceived"] <= 1
    assert json.loads((order.out / "run.json").read_text()) == found
    assert ">PASS</span>" in (order.out / "report.html").read_text()


def test_a_stall_is_charged_to_everyone_it_held_up(start: Start, requests: Path, tmp_path: Path) -> None:
    """One run of 600 ms among quick ones: at 100/s some 50 users wait for more than 100 ms.

    A load test that waits for each answer before the next request would have seen one slow answer.
    """
    server = serve_fake(start, tmp_path, "engine.fake.stall_runs={100=600}")
    order = Order(server.target, requests, tmp_path / "out", rate=100.0, budget_ms=2000.0)
    code, output, errors = order.run()

    assert 4 == code, errors  # none was late, but 300 requests are too few for a PASS at p99
    recorded = records.load(order.out / "records.npz")
    waited = latencies_ms(recorded) > 100
    assert recorded.ended(records.ANSWERED).all()
    assert waited.sum() >= 25
    assert json.loads(output)["summary"]["latency"]["p99_ms"] > 400


def test_a_server_that_cannot_keep_the_budget_fails(start: Start, requests: Path, tmp_path: Path) -> None:
    """Runs of 400 ms, a budget of 200: nobody is answered, nobody is left out of the tail, exit 1."""
    server = serve_fake(start, tmp_path, "engine.fake.overhead_ms=400")
    order = Order(server.target, requests, tmp_path / "out", rate=50.0, duration=1.0, budget_ms=200.0)
    code, output, errors = order.run()
    found = json.loads(output)["summary"]

    assert 1 == code, errors
    assert found["scheduled"] == found["admitted"] == found["violations"]
    assert {"expired"} == {entry["ending"] for entry in found["refused"]}
    assert found["latency"]["p50_ms"] is None
    assert 0.0 == found["goodput_per_s"]


def test_a_server_that_dies_fails_the_run(start: Start, requests: Path, tmp_path: Path) -> None:
    """Killed while under load: what it owed counts as never answered, and the run still ends, exit 1."""
    server = serve_fake(start, tmp_path)
    order = Order(server.target, requests, tmp_path / "out", rate=100.0, duration=3.0)
    with order.begun() as process:
        server.wait_for(lambda scrape: scrape.total("podium_requests_total") >= 50)
        server.signal(signal.SIGKILL)
        assert -signal.SIGKILL == server.wait()
        output, errors = process.communicate(timeout=RUN_S_MAX)
    found = json.loads(output)["summary"]

    assert 1 == process.returncode, errors
    assert 0 < found["answered"] < found["scheduled"]
    assert found["scheduled"] == found["admitted"] == found["answered"] + found["violations"]
    assert {"failed"} == {entry["ending"] for entry in found["refused"]}


def test_refusals_are_recorded_by_kind_and_reason(start: Start, requests: Path, tmp_path: Path) -> None:
    """A model that is not there: all INVALID, none admitted, so nothing is promised: exit 4."""
    server = serve_fake(start, tmp_path)
    order = Order(
        server.target, requests, tmp_path / "out", rate=50.0, duration=1.0, extra=("--model", "other")
    )
    code, output, errors = order.run()
    found = json.loads(output)["summary"]

    assert (4, 0) == (code, found["admitted"]), errors
    assert [("invalid", "MODEL_NOT_FOUND", found["scheduled"])] == [
        (entry["ending"], entry["reason"], entry["count"]) for entry in found["refused"]
    ]
    rows = records.load(order.out / "records.npz").rows
    assert {5} == set(rows["code"].tolist())  # NOT_FOUND
    assert (rows["done_ns"] > rows["sent_ns"]).all()


def test_without_a_server_there_is_nothing_to_measure(requests: Path, tmp_path: Path) -> None:
    """Exit 1 with one sentence, and no result that could be taken for one."""
    code, output, errors = Order("127.0.0.1:1", requests, tmp_path / "out", duration=1.0).run()

    assert (1, "") == (code, output)
    assert "no server answers at 127.0.0.1:1" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()
