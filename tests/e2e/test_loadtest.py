"""The load test against a real server: nothing lost, no stall hidden, and the verdict is the exit code.

The client's guards are opened wide: these tests are about what is counted, on machines of any noise.
"""

from __future__ import annotations

import json
import resource
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

from export.pipeline import export
from loadtest import records
from loadtest.fold.totals import latencies_ms
from loadtest.scenario.load import load
from loadtest.schedule.build import build
from protos.request_set import write_labels, write_messages
from tests.bundles.tiny import TINY
from tests.e2e.running import REPOSITORY, RunningServer, Start, environment
from tests.export_specs.tiny import spec

RUN_S_MAX = 90.0
OPEN = [
    *("send_lag_p99_ms=10000", "late_sends_ratio=1", "client_cpu=9", "steal=1"),
    *("offered_ratio=1", "arrivals_ks=1"),
]
DOORS = ("http2", "stream")
PLAIN = ("--set", "quality.reference=false")


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
    extra: tuple[str, ...] = PLAIN

    @property
    def command(self) -> list[str]:
        """As typed."""
        command = [sys.executable, "-m", "loadtest", "run", "steady", "--json", "--target", self.target]
        command += ["--requests", str(self.requests), "--out", str(self.out), "--rate", str(self.rate)]
        command += ["--duration", str(self.duration), "--warmup", str(self.warmup)]
        command += [word for limit in OPEN for word in ("--set", f"limits.{limit}")]
        return [*command, "--budget-ms", str(self.budget_ms), *self.extra]

    @contextmanager
    def begun(self, file_bytes_max: int | None = None) -> Iterator[subprocess.Popen[str]]:
        """Start it; it is gone afterwards."""

        def limit() -> None:
            if file_bytes_max is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))

        process = subprocess.Popen(
            self.command,
            cwd=REPOSITORY,
            # Without a calibration: what this machine can do is not the question.
            env=environment({"HOME": str(self.out.parent)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, file_bytes_max: int | None = None) -> tuple[int, str, str]:
        """Do it: exit code, standard output, standard error."""
        with self.begun(file_bytes_max) as process:
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


@pytest.mark.parametrize("transport", DOORS)
def test_every_scheduled_request_is_sent_once_and_recorded(
    start: Start, requests: Path, tmp_path: Path, transport: str
) -> None:
    """A quick server passes (exit 0); the server counts exactly the schedule, and so do the records."""
    server = serve_fake(start, tmp_path)
    more = (
        "--transport",
        transport,
        "--labels",
        str(requests.with_name("labels.npz")),
        "--processes",
        "2",
        "--seed",
        "3",
        *PLAIN,
    )
    more += ("--metrics", f"{server.ops_url}/metrics")
    order = Order(server.target, requests, tmp_path / "out", rate=400.0, duration=1.5, warmup=0.5, extra=more)
    code, output, errors = order.run()
    found: dict[str, Any] = json.loads(output)

    assert (0, "pass") == (code, found["judgement"]["verdict"]), errors
    settings = ["rate_per_s=400", "phases.0.duration_s=0.5", "phases.1.duration_s=1.5", "slo.budget_ms=2000"]
    scheduled = build(load("steady", settings), messages=5, seed=3)
    recorded = records.load(order.out / "records.npz")
    np.testing.assert_array_equal(scheduled.intended_ns, recorded.rows["intended_ns"])
    np.testing.assert_array_equal(scheduled.messages, recorded.rows["message"])
    assert scheduled.digest == found["schedule_sha256"]
    assert {0, 1} == set(recorded.rows["process"].tolist())
    assert len(recorded.rows) == server.metrics().total("podium_requests_total", model="tiny")
    measured = int((scheduled.phase == 1).sum())
    summary = found["summary"]
    assert (measured, measured, measured) == (
        summary["scheduled"],
        summary["admitted"],
        summary["answered"],
    )
    assert summary["goodput_per_s"] == pytest.approx(measured / 1.5)
    assert 0 < found["quality"]["perceived"] <= 1
    assert json.loads((order.out / "run.json").read_text()) == found
    assert found["server"]["answered"] > 0
    written = {path.name for path in order.out.iterdir()}
    assert written == {
        *("run.json", "records.npz", "windows.csv", "truth.npz", "client.npz", "server_metrics.om"),
        *("report.md", "report.html"),
    }
    page = (order.out / "report.html").read_text()
    assert "PASS" in page
    assert {"http2": "Rank, by our own client", "stream": "RankStream, by our own client"}[transport] in page


def test_a_run_is_folded_again_from_its_files(start: Start, requests: Path, tmp_path: Path) -> None:
    """`report --fold` makes every number anew from the records, and they are the same."""
    server = serve_fake(start, tmp_path)
    more = ("--labels", str(requests.with_name("labels.npz")))
    order = Order(server.target, requests, tmp_path / "out", rate=300.0, duration=2.0, extra=more)
    assert 0 == order.run()[0]
    before = (order.out / "run.json").read_text()
    command = [sys.executable, "-m", "loadtest", "report", "--fold", "--json", str(order.out)]
    again = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=RUN_S_MAX)

    assert 0 == again.returncode, again.stderr
    assert before == again.stdout == (order.out / "run.json").read_text()


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
    assert json.loads(output)["summary"]["latency"]["max_ms"] > 400


def test_a_server_that_cannot_keep_the_budget_fails(start: Start, requests: Path, tmp_path: Path) -> None:
    """Runs of 400 ms, a budget of 200: nobody is answered, nobody is left out of the tail, exit 1."""
    server = serve_fake(start, tmp_path, "engine.fake.overhead_ms=400")
    order = Order(server.target, requests, tmp_path / "out", rate=50.0, duration=1.0, budget_ms=200.0)
    code, output, errors = order.run()
    found = json.loads(output)["summary"]

    assert 1 == code, errors
    assert found["scheduled"] == found["admitted"] == found["violations"]
    assert {"expired"} == {entry["ending"] for entry in found["refused"]}
    assert "inf" == found["latency"]["p50_ms"]
    assert 0.0 == found["goodput_per_s"]


@pytest.mark.parametrize("transport", DOORS)
def test_a_server_that_dies_fails_the_run(
    start: Start, requests: Path, tmp_path: Path, transport: str
) -> None:
    """Killed while under load: what it owed counts as never answered, the run ends and says so, exit 1."""
    server = serve_fake(start, tmp_path)
    more = ("--transport", transport, *PLAIN)
    order = Order(server.target, requests, tmp_path / "out", rate=100.0, duration=4.0, extra=more)
    with order.begun() as process:
        server.wait_for(lambda scrape: scrape.total("podium_requests_total") >= 50)
        server.signal(signal.SIGKILL)
        assert -signal.SIGKILL == server.wait()
        output, errors = process.communicate(timeout=RUN_S_MAX)
    found = json.loads(output)
    summary = found["summary"]

    assert 1 == process.returncode, errors
    assert 0 < summary["answered"] < summary["scheduled"]
    assert summary["scheduled"] == summary["admitted"] == summary["answered"] + summary["violations"]
    assert {"failed"} == {entry["ending"] for entry in summary["refused"]}
    assert any("the server died or became unreachable" in note for note in found["notes"])


def test_an_interrupted_run_keeps_what_it_measured(start: Start, requests: Path, tmp_path: Path) -> None:
    """Ctrl-C after a second of an hour: exit 130, the second on record, marked, and judged for itself."""
    server = serve_fake(start, tmp_path)
    order = Order(server.target, requests, tmp_path / "out", rate=100.0, duration=3600.0)
    with order.begun() as process:
        server.wait_for(lambda scrape: scrape.total("podium_requests_total") >= 100)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=RUN_S_MAX)
    found = json.loads(output)

    assert 130 == process.returncode, errors
    assert "interrupted after" in errors
    assert 0.5 < found["interrupted_after_s"] < 60
    summary = found["summary"]
    assert 100 <= summary["scheduled"] == summary["answered"]
    assert summary["offered_per_s"] == pytest.approx(100, rel=0.35)
    assert found == json.loads((order.out / "run.json").read_text())
    assert len(records.load(order.out / "records.npz").rows) == summary["scheduled"]


def test_a_disk_too_full_for_the_records_stops_the_start(
    start: Start, requests: Path, tmp_path: Path
) -> None:
    """Room is reserved before the first request: one sentence, exit 1, and the server never asked."""
    server = serve_fake(start, tmp_path)
    order = Order(server.target, requests, tmp_path / "out", rate=100.0, duration=600.0)
    code, output, errors = order.run(file_bytes_max=1 << 20)

    assert (1, "") == (code, output)
    assert "File too large" in errors
    assert "Traceback" not in errors
    assert 0 == server.metrics().total("podium_requests_total")


def test_a_disk_too_full_for_the_report_still_shows_the_result(
    start: Start, requests: Path, tmp_path: Path
) -> None:
    """The numbers were measured: they are printed, what fits is kept, and the exit code is a failure's."""
    server = serve_fake(start, tmp_path)
    order = Order(server.target, requests, tmp_path / "out", rate=200.0, duration=3.0)
    code, output, errors = order.run(file_bytes_max=1 << 20)
    found = json.loads(output)

    assert 1 == code
    assert "not everything could be written" in errors
    assert "Traceback" not in errors
    assert found["summary"]["answered"] > 459
    assert found == json.loads((order.out / "run.json").read_text())


def test_a_model_that_is_not_served_is_said_before_the_run(
    start: Start, requests: Path, tmp_path: Path
) -> None:
    """Exit 1 with what is served instead; nothing was sent."""
    server = serve_fake(start, tmp_path)
    order = Order(server.target, requests, tmp_path / "out", extra=("--model", "other"))
    code, output, errors = order.run()

    assert (1, "") == (code, output)
    assert "does not serve 'other'; it serves tiny" in errors


def test_without_a_server_there_is_nothing_to_measure(requests: Path, tmp_path: Path) -> None:
    """Exit 1 with one sentence, and no result that could be taken for one."""
    code, output, errors = Order("127.0.0.1:1", requests, tmp_path / "out", duration=1.0).run()

    assert (1, "") == (code, output)
    assert "no server answers at 127.0.0.1:1" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out" / "run.json").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--set", "slo.bugdet_ms=3"), "unknown field `bugdet_ms`"),
        (("--rate", "0"), "give --rate"),
        (("--transport", "carrier"), "Invalid enum value 'carrier' - at `$.target.transport`"),
        (("--duration", "0"), "--duration must be above 0"),
        (("--requests", "absent.podium"), "absent.podium"),
        (("--set", 'workload.order={kind="unique"}'), "workload.order = unique"),
    ],
)
def test_a_wrong_order_is_a_usage_error(
    requests: Path, tmp_path: Path, more: tuple[str, str], said: str
) -> None:
    """Exit 2 and the key, before anybody is asked."""
    code, output, errors = Order("127.0.0.1:1", requests, tmp_path / "out", extra=more).run()
    assert (2, "") == (code, output)
    assert said in " ".join(errors.split())


def test_a_dry_run_sends_nothing(requests: Path, tmp_path: Path) -> None:
    """It shows what would be sent, and that 300 requests cannot pass."""
    order = Order("127.0.0.1:1", requests, tmp_path / "out", rate=100.0, extra=("--dry-run",))
    code, output, errors = order.run()
    assert 0 == code, errors
    assert "cannot pass, that takes 459" in output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("transport", DOORS)
def test_the_null_target_needs_no_server(requests: Path, tmp_path: Path, transport: str) -> None:
    """It starts its own, which answers everything at once; what is left is the client."""
    more = ("--set", "target.kind=null", "--transport", transport)
    code, output, errors = Order("", requests, tmp_path / "out", rate=300.0, duration=2.0, extra=more).run()
    found = json.loads(output)
    assert 0 == code, errors
    assert found["summary"]["scheduled"] == found["summary"]["answered"] > 459


@pytest.mark.parametrize("transport", DOORS)
def test_a_closed_loop_asks_again_once_it_was_answered(
    start: Start, requests: Path, tmp_path: Path, transport: str
) -> None:
    """Runs of 20 ms, four callers, alone in a run or together: never more than four in flight."""
    server = serve_fake(start, tmp_path, "engine.fake.overhead_ms=20")
    loop = 'phases=[{name="loop",duration_s=2,arrivals={process="closed",in_flight=4}}]'
    more = ("--set", loop, "--transport", transport)
    order = Order(server.target, requests, tmp_path / "out", extra=more, duration=2.0)
    _, output, errors = order.run()
    rows = records.load(order.out / "records.npz").rows
    in_flight = [int(((rows["sent_ns"] <= at) & (rows["done_ns"] > at)).sum()) for at in rows["sent_ns"]]
    assert 4 == max(in_flight), errors
    assert 20 < len(rows) <= 4 * 2000 / 20 + 4
    assert any("not comparable with open-loop" in note for note in json.loads(output)["notes"])


def test_a_run_extends_itself_until_it_can_tell(start: Start, requests: Path, tmp_path: Path) -> None:
    """300 requests a look are too few at a third of the risk: the second look decides."""
    server = serve_fake(start, tmp_path)
    more = ("--set", "slo.looks_max=3", *PLAIN)
    order = Order(server.target, requests, tmp_path / "out", rate=150.0, duration=2.0, extra=more)
    code, output, errors = order.run()
    found = json.loads(output)
    assert (0, "pass") == (code, found["judgement"]["verdict"]), errors
    assert 2 <= found["looks"] <= 3
    assert found["summary"]["scheduled"] == len(records.load(order.out / "records.npz").rows) >= 459
    assert found["summary"]["offered_per_s"] == pytest.approx(150, rel=0.2)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real export with its gates' report."""
    folder = tmp_path_factory.mktemp("exported")
    export(spec(), folder, source="tests.export_specs.tiny:spec")
    return folder


@pytest.mark.parametrize("transport", DOORS)
def test_at_no_load_quality_is_the_export_report_s(
    start: Start, models: Path, tmp_path: Path, transport: str
) -> None:
    """Every request of the set once, one at a time: perceived nDCG@10 is the served variant's to 1e-6.

    Nothing is lost to lateness, degradation or refusal; what quantisation costs is what the report says; and
    every answer has the scores that the idle server gave it.
    """
    (bundle,) = (models / "tiny").iterdir()
    report = json.loads((bundle / "report.json").read_text())
    server = start(models)
    count = json.loads((bundle / "bundle.json").read_text())["requests"]["count"]
    arrivals = f'phases=[{{name="all",duration_s={count / 100},arrivals={{process="constant"}}}}]'
    more = ("--bundle", str(bundle), "--set", arrivals, "--set", "workload.order.kind=sequential")
    more += ("--set", "quality.sample=1", "--transport", transport)
    order = Order(
        server.target,
        bundle / "requests" / "eval.podium",
        tmp_path / "out",
        rate=100.0,
        duration=count / 100,
        extra=(*more, "--labels", str(bundle / "requests" / "labels.npz")),
    )
    _, output, errors = order.run()
    found = json.loads(output)
    quality = found["quality"]
    value = {entry["variant"]: entry["quality"]["value"] for entry in report["variants"]}

    assert count == found["summary"]["scheduled"] == found["summary"]["in_time"], errors
    assert quality["perceived"] == pytest.approx(value[report["default_variant"]], abs=1e-6)
    assert quality["losses"]["reference"] == pytest.approx(value["fp32"], abs=1e-6)
    assert quality["losses"]["quantisation"] == pytest.approx(
        value["fp32"] - value[report["default_variant"]], abs=1e-6
    )
    assert (0.0, 0.0, 0.0) == tuple(
        quality["losses"][name] for name in ("degradation", "lateness", "refusal")
    )
    assert (count, 0) == (found["determinism"]["compared"], found["determinism"]["flipped"])
