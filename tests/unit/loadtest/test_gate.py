"""What `--gate` asks beside the budget; it fails closed."""

from __future__ import annotations

import msgspec
import pytest

from loadtest.gate import judge_gate
from loadtest.result import Run
from loadtest.scenario.form import Gate
from loadtest.verdict import Verdict
from tests.unit.loadtest.report import example


def gated(gate: Gate, **changes: object) -> Run:
    """A run that passed, on a calibrated client, held to this gate."""
    run, _ = example.passed()
    return msgspec.structs.replace(
        run,
        scenario=msgspec.structs.replace(run.scenario, gate=gate),
        client=msgspec.structs.replace(run.client, calibrated="2026-01-01"),
        **changes,
    )


def test_a_run_that_failed_stays_failed() -> None:
    """The gate adds questions, it takes none away."""
    run, _ = example.failed()
    assert run.judgement == judge_gate(run)


def test_without_a_calibration_nothing_passes() -> None:
    """A pipeline's yes must not rest on a client that nobody looked at."""
    run = gated(Gate())
    assert Verdict.PASS is judge_gate(run).verdict
    loose = msgspec.structs.replace(run, client=msgspec.structs.replace(run.client, calibrated=""))
    assert (Verdict.INVALID, True) == (judge_gate(loose).verdict, "calibrate" in judge_gate(loose).sentence)


@pytest.mark.parametrize(
    ("gate", "named"),
    [
        (Gate(refused_ratio_max=-1e-9), "gate.refused_ratio_max"),
        (Gate(goodput_ratio_min=1.0 + 1e-9), "gate.goodput_ratio_min"),
        (Gate(ndcg_loss_max=-1.0), "gate.ndcg_loss_max"),
    ],
)
def test_each_threshold_fails_by_name(gate: Gate, named: str) -> None:
    """A threshold that no run can meet fails every run, and says which it was."""
    found = judge_gate(gated(gate))
    assert Verdict.FAIL is found.verdict
    assert named in found.sentence


def test_thresholds_that_are_met_pass() -> None:
    """All of them."""
    gate = Gate(refused_ratio_max=1.0, goodput_ratio_min=0.0, ndcg_loss_max=1.0)
    assert Verdict.PASS is judge_gate(gated(gate)).verdict


def test_a_loss_that_was_not_measured_is_invalid() -> None:
    """Not passed."""
    found = judge_gate(gated(Gate(ndcg_loss_max=1.0), quality=None))
    assert (Verdict.INVALID, True) == (found.verdict, "gate.ndcg_loss_max" in found.sentence)
