"""From what was seen to the result: what counts where, over phases, looks and interruptions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loadtest.assess import GAP_NS, Evidence, Pass, assess
from loadtest.client.sender import Seen
from loadtest.machine import Ticks
from loadtest.records import DTYPE, ENDINGS, NEVER_NS, Records
from loadtest.result import WorkloadFacts
from loadtest.scenario.form import Phase, Poisson, Scenario, Slo
from loadtest.schedule.build import boundaries_ns, build
from loadtest.verdict import Verdict

SECOND = 1_000_000_000
MS = 1_000_000
SCENARIO = Scenario(
    version=1,
    name="s",
    rate_per_s=200.0,
    slo=Slo(budget_ms=25.0),
    phases=(
        Phase(name="warm-up", duration_s=2, measure=False),
        Phase(name="calm", duration_s=20),
        Phase(name="storm", duration_s=5, arrivals=Poisson(load=2.0)),
    ),
)
FACTS = WorkloadFacts(
    requests="r",
    messages=1,
    sent_messages=1,
    candidates_least=4,
    candidates_median=4,
    candidates_most=4,
    bytes_median=10,
    sha256="",
)


def probes(cpu_share: float, seconds: float) -> np.ndarray:
    at = np.arange(1, int(seconds * 100)) * 10 * MS
    return np.stack([at, (at * cpu_share).astype(np.int64), np.full(len(at), 1000)], axis=1)


def look(scenario: Scenario = SCENARIO, seed: int = 0, latency_ms: float = 5.0) -> np.ndarray:
    """Every request of the scenario, sent on time and answered in full so much later."""
    schedule = build(scenario, messages=1, seed=seed)
    rows = np.zeros(len(schedule.intended_ns), DTYPE)
    rows["phase"], rows["intended_ns"] = schedule.phase, schedule.intended_ns
    rows["sent_ns"] = schedule.intended_ns
    # Not all alike: the shape of the noise does not matter, that there is some does.
    noise = np.random.default_rng(seed).uniform(0.8, 1.2, len(rows))
    rows["done_ns"] = rows["sent_ns"] + (latency_ms * MS * noise).astype(np.int64)
    rows["ending"], rows["step"] = ENDINGS.index("answered"), 1
    rows["candidates"] = rows["scored"] = 4
    return rows


def evidence(*looks: np.ndarray, scenario: Scenario = SCENARIO, stopped_s: float | None = None) -> Evidence:
    starts_ns, ends_ns = boundaries_ns(scenario)
    period_ns = ends_ns[-1] + GAP_NS
    moved, passes = [], []
    for number, rows in enumerate(looks):
        rows = rows.copy()
        in_flight_ns = int((rows["done_ns"] - rows["sent_ns"])[rows["done_ns"] >= 0].sum())
        for name in ("intended_ns", "sent_ns", "done_ns"):
            rows[name][rows[name] >= 0] += number * period_ns
        moved.append(rows)
        seen = Seen([""], probes(0.2, ends_ns[-1] / 1e9), in_flight_ns)
        passes.append(Pass([seen], [Ticks(0, 0, 0), Ticks(99, 0, 10_000)], (), 0, None))
    passes[-1] = replace(passes[-1], stopped_s=stopped_s)
    return Evidence(
        created="2026-01-01T00:00:00+00:00",
        scenario=scenario,
        records=Records(np.concatenate(moved), ("",)),
        starts_ns=starts_ns,
        ends_ns=ends_ns,
        passes=passes,
        truth=None,
        determinism=None,
        workload=FACTS,
        processes=1,
        cores=(1,),
        judged_per_s_max=1000.0,
        calibrated="2026-01-01",
        schedule_sha256="a",
        environment={},
    )


def late(rows: np.ndarray, from_s: float, to_s: float) -> np.ndarray:
    """The same, but what was intended in between took 100 ms."""
    chosen = (rows["intended_ns"] >= from_s * SECOND) & (rows["intended_ns"] < to_s * SECOND)
    rows["done_ns"][chosen] = rows["sent_ns"][chosen] + 100 * MS
    return rows


def test_each_phase_is_judged_on_its_own_and_the_warm_up_not_at_all() -> None:
    """A storm that breaks the budget fails the run by name; the calm before it still passed."""
    run = assess(evidence(late(look(), 22, 27))).run
    warm_up, calm, storm = run.phases
    assert warm_up.judgement is None
    assert calm.judgement is not None
    assert storm.judgement is not None
    assert (Verdict.PASS, Verdict.FAIL) == (calm.judgement.verdict, storm.judgement.verdict)
    assert Verdict.FAIL is run.judgement.verdict
    assert run.judgement.sentence.startswith("storm: ")
    assert run.summary.scheduled == calm.numbers.scheduled + storm.numbers.scheduled
    assert [1.0, 1.0, 2.0] == pytest.approx([warm_up.load, calm.load, storm.load], rel=0.15)


def test_rates_are_over_the_phase_s_time() -> None:
    """200/s and 400/s, whatever the other phases lasted."""
    run = assess(evidence(look())).run
    assert [200, 200, 400] == pytest.approx([entry.numbers.goodput_per_s for entry in run.phases], rel=0.12)
    assert run.summary.offered_per_s == pytest.approx((20 * 200 + 5 * 400) / 25, rel=0.05)


def test_there_is_a_window_for_every_second() -> None:
    """Also of the warm-up, marked as not measured."""
    windows = assess(evidence(look())).windows
    assert [float(second) for second in range(27)] == [window.t_s for window in windows]
    assert [False] * 2 + [True] * 25 == [window.measured for window in windows]


def test_a_warm_up_that_was_not_over_is_cut_and_said() -> None:
    """Five slow seconds, still within budget: discarded, and the numbers are those of the rest."""
    rows = look()
    slow = (rows["phase"] == 1) & (rows["intended_ns"] < 7 * SECOND)
    rows["done_ns"][slow] = rows["sent_ns"][slow] + 20 * MS
    calm = assess(evidence(rows)).run.phases[1]
    assert (5.0, 7.0, 15.0) == (calm.discarded_s, calm.starts_s, calm.duration_s)
    assert calm.judgement is not None
    assert Verdict.PASS is calm.judgement.verdict
    assert calm.numbers.offered_per_s == pytest.approx(200, rel=0.06)


def test_a_warm_up_that_broke_the_budget_is_not_forgotten() -> None:
    """Discarding it would turn a failure into a pass: UNSTABLE."""
    calm = assess(evidence(late(look(), 2, 7))).run.phases[1]
    assert calm.judgement is not None
    assert Verdict.UNSTABLE is calm.judgement.verdict


def test_a_stall_in_the_middle_stays() -> None:
    """Nothing but a beginning can be a warm-up."""
    calm = assess(evidence(late(look(), 9, 11))).run.phases[1]
    assert 0.0 == calm.discarded_s
    assert calm.numbers.violations == pytest.approx(400, rel=0.15)


def test_looks_are_pooled() -> None:
    """Twice the requests over twice the time, on one axis; windows and rates follow."""
    outcome = assess(evidence(look(seed=0), look(seed=1)))
    run = outcome.run
    assert 2 == run.looks
    assert run.summary.scheduled == len(look(seed=0)[look(seed=0)["phase"] > 0]) + len(
        look(seed=1)[look(seed=1)["phase"] > 0]
    )
    assert run.phases[1].duration_s == 40.0
    assert run.phases[1].numbers.offered_per_s == pytest.approx(200, rel=0.05)
    assert 54 == len(outcome.windows)
    assert [] == [guard.name for phase in run.phases for guard in phase.guards if guard.tripped]
    assert any(note.startswith("extended: 2 looks") for note in run.notes)


def test_a_guard_that_tripped_in_one_look_voids_both() -> None:
    """The worst value of all looks counts."""
    tardy = look(seed=1)
    tardy["sent_ns"] += 2 * MS
    tardy["done_ns"] += 2 * MS
    run = assess(evidence(look(seed=0), tardy)).run
    assert Verdict.INVALID is run.judgement.verdict
    assert "send lag p99 2" in run.judgement.sentence


def test_an_interrupted_run_is_judged_for_what_was_sent() -> None:
    """Stopped after 12 s: ten measured seconds of the first phase; the second was never begun."""
    rows = look()
    rows = rows[rows["intended_ns"] < 12 * SECOND]
    outcome = assess(evidence(rows, stopped_s=12.0))
    calm, storm = outcome.run.phases[1:]
    assert (10.0, None) == (calm.duration_s, storm.judgement)
    assert calm.numbers.offered_per_s == pytest.approx(200, rel=0.1)
    assert 12.0 == outcome.run.interrupted_after_s
    assert 12 == len(outcome.windows)
    assert any("interrupted after 12.0 s" in note for note in outcome.run.notes)


def test_an_interruption_before_anything_was_measured_is_no_result() -> None:
    """It says so, and is judged as too little."""
    rows = look()
    rows = rows[rows["intended_ns"] < SECOND]
    run = assess(evidence(rows, stopped_s=1.0)).run
    assert Verdict.INCONCLUSIVE is run.judgement.verdict
    assert 0 == run.summary.scheduled


def test_a_server_that_fell_silent_is_noticed() -> None:
    """From when on, in words."""
    rows = look()
    gone = rows["intended_ns"] >= 20 * SECOND
    rows["ending"][gone] = ENDINGS.index("failed")
    run = assess(evidence(rows)).run
    assert any(note.startswith("nothing was answered after 20.0 s") for note in run.notes) or any(
        note.startswith("nothing was answered after 19.9 s") for note in run.notes
    )
    assert not any("nothing was answered" in note for note in assess(evidence(look())).run.notes)


def test_a_lost_process_voids_the_run() -> None:
    """What it did not hand over cannot be known."""
    found = evidence(look())
    rows = found.records.rows
    rows["sent_ns"][::7] = rows["done_ns"][::7] = NEVER_NS
    rows["ending"][::7] = ENDINGS.index("unsent")
    lost = replace(found, passes=[replace(found.passes[0], died=1)])
    run = assess(lost).run
    assert Verdict.INVALID is run.judgement.verdict
    assert "client processes lost" in run.judgement.sentence
