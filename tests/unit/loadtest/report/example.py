"""Results as a run would leave them, made by formula: one per thing that a report must be able to say."""

from __future__ import annotations

import math

import msgspec

from loadtest.result import (
    Anatomy,
    ClientSeen,
    Determinism,
    PhaseResult,
    Recovery,
    Run,
    ServerSeen,
    Window,
    WorkloadFacts,
)
from loadtest.scenario.form import Phase, Poisson, Scenario, Slo, Target, Workload
from loadtest.verdict import Judgement, Verdict
from tests.unit.loadtest.report.values import (
    BUDGET_MS,
    EASY,
    PRIOR,
    RATE_PER_S,
    SERVED,
    Load,
    deciles,
    guards,
    judgement,
    latency_ms,
    numbers,
    phase_result,
    quality,
)


def windows(stretches: list[tuple[str, bool, Load]]) -> list[Window]:
    """One per second, with a little deterministic unrest."""
    made: list[Window] = []
    for name, measured, load in stretches:
        for _ in range(round(load.duration_s)):
            t_s = float(len(made))
            unrest = 1 + 0.13 * math.sin(1.7 * t_s) + 0.07 * math.sin(0.31 * t_s)
            offered = round(load.offered_per_s * (1 + 0.04 * math.sin(2.3 * t_s)))
            refused = round(offered * load.refused)
            late = round(offered * load.late)
            made.append(
                Window(
                    t_s=t_s,
                    phase=name,
                    measured=measured,
                    offered=offered,
                    answered=offered - refused,
                    in_time=offered - refused - late,
                    refused=refused,
                    errors=0,
                    p50_ms=latency_ms(0.5, load.scale) * (1 + (unrest - 1) / 3),
                    p99_ms=latency_ms(0.99, load.scale) * unrest,
                    max_ms="inf" if load.late > 0.01 else latency_ms(0.998, load.scale) * unrest**1.6,
                    perceived_ndcg=SERVED - (SERVED - PRIOR) * (load.late + load.refused),
                )
            )
    return made


def passed() -> tuple[Run, list[Window]]:
    """One steady phase that kept the budget."""
    warm_up = Load(RATE_PER_S, 10.0, scale=1.3)
    phases = [("warm-up", False, warm_up), ("steady", True, EASY)]
    found = numbers(EASY)
    given = judgement(
        Verdict.PASS,
        found,
        f"{found.violations} of {found.admitted:,} admitted requests broke the budget; "
        "up to 148 would still show, with 99 % confidence, that fewer than 1 in 100 do",
    )
    results = [
        phase_result("warm-up", 0.0, warm_up, None),
        phase_result("steady", 10.0, EASY, given),
    ]
    return run(scenario("steady", phases), results, given), windows(phases)


SWEEP = (
    ("0.5x up", Load(150, 15)),
    ("1x up", Load(300, 15, scale=1.35, late=0.002)),
    ("2x up", Load(600, 15, scale=1.62, late=0.006, refused=0.41, degraded=0.22)),
    ("5x up", Load(1500, 15, scale=2.4, late=0.031, refused=0.77, degraded=0.55)),
    ("2x down", Load(600, 15, scale=1.68, late=0.007, refused=0.43, degraded=0.25)),
    ("0.5x down", Load(150, 15, scale=1.02)),
)


def failed() -> tuple[Run, list[Window]]:
    """A sweep into overload and back, which broke the budget on the way."""
    warm_up = Load(150, 3.0, scale=1.2)
    results, starts_s = [phase_result("warm-up", 0.0, warm_up, None)], 3.0
    for name, load in SWEEP:
        found = numbers(load)
        kept = load.late < 0.01
        sentence = f"{found.violations:,} of {found.admitted:,} admitted requests broke the budget"
        given = judgement(Verdict.PASS if kept else Verdict.FAIL, found, sentence)
        results.append(phase_result(name, starts_s, load, given))
        starts_s += load.duration_s
    phases = [("warm-up", False, warm_up), *((name, True, load) for name, load in SWEEP)]
    worst = next(phase.judgement for phase in results if phase.name == "5x up")
    assert worst is not None
    worst = msgspec.structs.replace(worst, sentence=f"5x up: {worst.sentence}; 53 would have been few enough")
    total_s = sum(load.duration_s for _, load in SWEEP)
    mixed = Load(
        sum(load.offered_per_s * load.duration_s for _, load in SWEEP) / total_s, total_s,
        scale=2.0, late=0.014, refused=0.55, degraded=0.33,
    )  # fmt: skip
    made = run(scenario("overload-sweep", phases), results, worst, mixed)
    recoveries = [Recovery(after="5x up", phase="2x down", share_before=0.59, seconds=1.5)]
    anatomy = Anatomy(
        late=311,
        shares={
            "client lag": 0.004, "queue_us": 0.55, "form_us": 0.03, "run_us": 0.29,
            "server, other": 0.046, "outside": 0.08,
        },
    )  # fmt: skip
    return msgspec.structs.replace(made, recoveries=recoveries, anatomy=anatomy), windows(phases)


def invalid() -> tuple[Run, list[Window]]:
    """The client was too slow: nothing is known about the server."""
    made, timeline = passed()
    given = msgspec.structs.replace(
        made.judgement,
        verdict=Verdict.INVALID,
        sentence="send lag p99 is 1.84 ms, above 0.5 ms: a client that sends late measures itself",
    )
    steady = msgspec.structs.replace(made.phases[1], judgement=given, guards=guards(lag_ms=1.84, cpu=0.91))
    notes = [*made.notes, "The client was not calibrated on this machine."]
    changed = {"judgement": given, "phases": [made.phases[0], steady], "notes": notes}
    return msgspec.structs.replace(made, **changed), timeline


def interrupted() -> tuple[Run, list[Window]]:
    """Stopped by hand after 4 s of the measured phase: too few requests for a percentile."""
    made, timeline = passed()
    short = Load(40.0, 4.0)
    given = judgement(
        Verdict.INCONCLUSIVE,
        numbers(short),
        "160 requests cannot show that fewer than 1 in 100 break the budget: 459 could at best",
    )
    steady = phase_result("steady", 10.0, short, given)
    changed = {
        "judgement": given,
        "summary": steady.numbers,
        "quality": None,
        "determinism": None,
        "server": None,
        "deciles": [],
        "phases": [made.phases[0], steady],
        "interrupted_after_s": 14.0,
    }
    return msgspec.structs.replace(made, **changed), timeline[:14]


def empty() -> tuple[Run, list[Window]]:
    """Nothing was sent."""
    made, _ = passed()
    nothing = numbers(Load(0.0, 0.0))
    given = judgement(Verdict.INVALID, nothing, "the run ended before its first measured request")
    changed = {
        "judgement": given,
        "summary": nothing,
        "quality": None,
        "determinism": None,
        "server": None,
        "phases": [],
        "deciles": [],
        "anatomy": Anatomy(late=0, shares={}),
        "interrupted_after_s": 0.4,
        "notes": [],
    }
    return msgspec.structs.replace(made, **changed), []


EXAMPLES = {
    "passed": passed,
    "failed": failed,
    "invalid": invalid,
    "interrupted": interrupted,
    "empty": empty,
}


def scenario(name: str, phases: list[tuple[str, bool, Load]]) -> Scenario:
    """The scenario that such a run would have followed."""
    return Scenario(
        version=1,
        name=name,
        description="Made for looking at.",
        rate_per_s=RATE_PER_S,
        target=Target(address="127.0.0.1:50051", metrics_url="http://127.0.0.1:9102/metrics"),
        slo=Slo(budget_ms=BUDGET_MS),
        workload=Workload(bundle="models/movies/1", seed=7),
        phases=tuple(
            Phase(
                name=called,
                duration_s=load.duration_s,
                arrivals=Poisson(load=load.offered_per_s / RATE_PER_S),
                measure=measured,
            )
            for called, measured, load in phases
        ),
    )


def run(form: Scenario, phases: list[PhaseResult], given: Judgement, load: Load = EASY) -> Run:
    """A whole result."""
    return Run(
        created="2026-01-01T12:00:00+00:00",
        scenario=form,
        judgement=given,
        summary=numbers(load),
        quality=quality(load),
        determinism=Determinism(compared=1_764, flipped=0, score_delta_max=0.0),
        phases=phases,
        classes=[],
        deciles=deciles(load),
        anatomy=Anatomy(
            late=7,
            shares={"client lag": 0.01, "queue_us": 0.21, "form_us": 0.04, "run_us": 0.52, "outside": 0.22},
        ),
        recoveries=[],
        server=ServerSeen(
            p99_low_ms=12.5,
            p99_high_ms=15.625,
            answered=numbers(load).answered,
            gap="The server's clock starts when a request has been read from the socket; the client's starts "
            "when it should have been sent",
        ),
        client=ClientSeen(
            processes=1,
            cores=[[1]],
            cpu=[0.34],
            loop_lag_p99_ms=[0.11],
            judged_per_s_max=1450.0,
            calibrated="2026-01-01T11:40:00+00:00",
        ),
        workload=WorkloadFacts(
            requests="models/movies/1/requests/eval.podium",
            messages=2048,
            sent_messages=2048,
            candidates_least=4,
            candidates_median=100,
            candidates_most=999,
            bytes_median=1612,
            sha256="5f" * 32,
        ),
        looks=1,
        schedule_sha256="c3" * 32,
        interrupted_after_s=None,
        notes=["Client and server shared one machine: they compete for its cores."],
        environment={
            "cpu": "Example CPU @ 2.20GHz",
            "cores": "2",
            "kernel": "6.1.0",
            "python": "3.11.9",
            "grpcio": "1.85.1",
            "podium": "0.1.0",
        },
    )
