"""LoadGen's summary file read back, and its words beside ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.cli.app import main
from loadtest.loadgen import LoadGenFailed, LoadGenSays, parse
from loadtest.mlperf import compare
from loadtest.selftest import request_set
from loadtest.verdict import Verdict

SUMMARY = """\
================================================
MLPerf Results Summary
================================================
SUT name : PySUT
Scenario : Server
Mode     : PerformanceOnly
Completed samples per second    : 197.54
Result is : {result}
  Performance constraints satisfied : {in_time}
  Min duration satisfied : Yes
  Min queries satisfied : Yes
  Early stopping satisfied: {enough}
Early Stopping Result:
 * Run successful.

================================================
Additional Stats
================================================
Scheduled samples per second : 197.91
50.00 percentile latency (ns)   : 5558594
90.00 percentile latency (ns)   : 5754562
99.00 percentile latency (ns)   : 5992787
99.90 percentile latency (ns)   : 8066488
"""


def says(result: str, in_time: str = "Yes", enough: str = "Yes") -> LoadGenSays:
    """A summary with these words, read."""
    return parse(SUMMARY.format(result=result, in_time=in_time, enough=enough), 600, 3)


def test_the_summary_is_read() -> None:
    """As LoadGen 6.0 writes it: nanoseconds, Yes and No."""
    expected = LoadGenSays(
        result="VALID",
        in_time=True,
        enough=True,
        completed_per_s=197.54,
        p50_ms=5.558594,
        p99_ms=5.992787,
        queries=600,
        not_answered=3,
    )
    assert expected == says("VALID")


@pytest.mark.parametrize(
    ("result", "in_time", "enough", "verdict"),
    [
        ("VALID", "Yes", "Yes", Verdict.PASS),
        ("INVALID", "No", "Yes", Verdict.FAIL),
        ("INVALID", "No", "No", Verdict.FAIL),
        ("INVALID", "Yes", "No", Verdict.INCONCLUSIVE),
    ],
)
def test_invalid_is_a_failure_only_when_the_latencies_are_to_blame(
    result: str, in_time: str, enough: str, verdict: Verdict
) -> None:
    """LoadGen says INVALID also for too few queries, which prove nothing against the server."""
    assert verdict is says(result, in_time, enough).verdict


def test_a_summary_of_something_else_is_refused() -> None:
    """Another scenario's has no such lines."""
    with pytest.raises(LoadGenFailed) as raised:
        parse("Scenario : Offline\n", 1, 0)
    assert "does not say" in str(raised.value)


def test_only_opposite_verdicts_disagree() -> None:
    """A run that proves nothing contradicts nobody."""
    assert compare(Verdict.PASS, Verdict.PASS) is True
    assert compare(Verdict.FAIL, Verdict.FAIL) is True
    assert compare(Verdict.PASS, Verdict.FAIL) is False
    assert compare(Verdict.INVALID, Verdict.FAIL) is None
    assert compare(Verdict.PASS, Verdict.INCONCLUSIVE) is None


def test_without_the_extra_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One sentence and exit code 2, before anything is planned or sent."""
    monkeypatch.setattr("loadtest.loadgen.MODULE", "no_such_module_as_loadgen")
    code = main(["mlperf", "steady", *_options(tmp_path)])
    assert 2 == code
    assert "pip install 'podium[mlperf]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_scenario_that_loadgen_cannot_send_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """LoadGen's Server scenario is Poisson at one rate."""
    pytest.importorskip("mlperf_loadgen")
    code = main(["mlperf", "burst", *_options(tmp_path)])
    assert 2 == code
    assert "take another scenario" in capsys.readouterr().err


def _options(folder: Path) -> list[str]:
    """Complete, with a target that is not there."""
    requests, _ = request_set.write(folder)
    options = ["--target", "127.0.0.1:9", "--requests", str(requests), "--rate", "10"]
    return [*options, "--budget-ms", "50", "--out", str(folder / "out")]
