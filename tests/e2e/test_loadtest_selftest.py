"""The instrument against mock servers whose truths are known: what `podium loadtest selftest` shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadtest.selftest import request_set
from loadtest.selftest.check import Check
from loadtest.selftest.target import serving
from loadtest.selftest.truth import Injected
from tests.e2e.running import REPOSITORY, environment

SELFTEST_S_MAX = 150.0
"""Under 60 s; repeats on a noisy machine come on top."""
TRIES = 3
"""Runs on a machine that is too noisy for them are INVALID (exit code 3) and say nothing."""


def selftest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "loadtest", "selftest", *arguments],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SELFTEST_S_MAX,
        check=False,
    )


@pytest.fixture(scope="module")
def report() -> tuple[int, dict[str, Any]]:
    """Exit code and report of one selftest."""
    done = selftest("--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_every_injected_truth_is_recovered(report: tuple[int, dict[str, Any]]) -> None:
    """What the mocks injected is what the load test reports, within the errors stated beforehand."""
    code, said = report
    wrong = [check for check in said["checks"] if not _holds(check)]
    assert [] == wrong
    assert (0, True) == (code, said["ok"])


def test_the_selftest_looks_at_every_truth(report: tuple[int, dict[str, Any]]) -> None:
    """The checks by which a missing rule shows are there: none can be lost without being missed."""
    _, said = report
    names = {(check["experiment"], check["name"]) for check in said["checks"]}
    assert {
        ("latency law", "p50 of the delays drawn, ms"),
        ("latency law", "p99 of the delays drawn, ms"),
        ("latency law", "p99 of the law, ms"),
        ("latency law", "p99 by the server's clock, ms"),
        ("latency law", "degraded answers"),
        ("latency law", "perceived nDCG"),
        ("refusals", "requests"),
        ("refusals", "ended as overloaded"),
        ("refusals", "admitted"),
        ("refusals", "violations"),
        ("refusals", "p99, ms"),
        ("refusals", "perceived nDCG"),
        ("refusals, streamed", "requests"),
        ("refusals, streamed", "ended as timeout"),
        ("stalled server", "p99, ms"),
        ("stalled server", "requests over budget"),
        ("held client", "p99, ms"),
        ("held client", "p99 of the service time, ms"),
        ("held client", "verdict"),
    } <= names


def test_a_wrong_check_is_wrong() -> None:
    """A measured value outside its stated error, or of another kind, does not hold."""

    def check(injected: float | str, measured: float | str | None) -> bool:
        return Check(
            experiment="any", name="any", injected=injected, measured=measured, below=1.0, above=2.0
        ).ok

    assert [True, True, False, False] == [check(10, value) for value in (9, 12, 8.9, 12.1)]
    assert [True, False, False] == [check("inf", "inf"), check("inf", 10.0), check(10.0, "inf")]
    assert not check(10.0, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("injected", "verdict"),
    [
        pytest.param({"median_ms": 10.0, "sigma": 0.4}, "pass", id="keeps the budget"),
        pytest.param(
            {"median_ms": 10.0, "sigma": 0.4, "late": 0.04, "late_ms": 150.0}, "fail", id="breaks it"
        ),
    ],
)
def test_loadgen_agrees(tmp_path: Path, injected: dict[str, float], verdict: str) -> None:
    """MLPerf's LoadGen and we judge a server alike, on the shipped scenario `steady`."""
    pytest.importorskip("mlperf_loadgen")
    said = _beside_loadgen(tmp_path, injected)
    assert (True, verdict, verdict) == (said["agree"], said["verdict"], said["loadgen_verdict"])


@pytest.mark.slow
def test_a_refusal_is_late_for_loadgen(tmp_path: Path) -> None:
    """LoadGen knows no refusals: told as late, they fail a server whose answers we pass."""
    pytest.importorskip("mlperf_loadgen")
    said = _beside_loadgen(tmp_path, {"median_ms": 10.0, "overloaded": 0.05})
    assert ("pass", "fail", False) == (said["verdict"], said["loadgen_verdict"], said["agree"])
    assert said["refused"] > 0
    assert said["loadgen"]["not_answered"] > 0


def _beside_loadgen(folder: Path, injected: dict[str, float]) -> dict[str, Any]:
    """`podium loadtest mlperf steady` against a mock."""
    requests, labels = request_set.write(folder)
    said: dict[str, Any] = {}
    for number in range(TRIES):
        with serving(msgspec.convert(injected, Injected), folder / "truth.json", set()) as address:
            command = [sys.executable, "-m", "loadtest", "mlperf", "steady", "--json", "--target", address]
            command += ["--requests", str(requests), "--labels", str(labels), "--rate", "150"]
            command += ["--budget-ms", "80", "--duration", "10", "--warmup", "1"]
            command += ["--out", str(folder / f"run-{number}"), "--set", "quality.reference=false"]
            command += [
                "--set",
                "limits={send_lag_p99_ms=8.0, late_sends_ratio=0.2, steal=0.1, arrivals_ks=1.0}",
            ]
            done = subprocess.run(
                command,
                cwd=REPOSITORY,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=SELFTEST_S_MAX,
                check=False,
            )
        assert done.stdout, done.stderr
        said = json.loads(done.stdout)
        if done.returncode != 3:
            break
    return said


def _holds(check: dict[str, Any]) -> bool:
    return msgspec.convert(check, Check).ok
