"""From numbers and guards to a verdict: the order of the questions, and the sentence."""

from __future__ import annotations

import numpy as np
import pytest

from loadtest.judge import Case, judge, worst
from loadtest.result import Guard, Numbers, Percentiles, Refused, Tail
from loadtest.scenario.form import Slo
from loadtest.verdict import EXIT_CODES, Judgement, Verdict

SLO = Slo(budget_ms=25)
NOTHING = Percentiles(n=0, p50_ms=None, p90_ms=None, p99_ms=None, p999_ms=None, max_ms=None)
FINE = Guard(name="steal", value=0.0, limit=0.02, unit="", says="")
TRIPPED = Guard(name="client CPU", value=0.9, limit=0.8, unit="of a core", says="it queues")


def numbers(n: int, violations: int, *, errors: int = 0, scheduled: int | None = None) -> Numbers:
    return Numbers(
        scheduled=n if scheduled is None else scheduled,
        admitted=n,
        answered=n,
        in_time=n - violations,
        degraded=0,
        unsent=0,
        errors=errors,
        violations=violations,
        offered_per_s=1,
        answered_per_s=1,
        goodput_per_s=1,
        degraded_goodput_per_s=0,
        latency=NOTHING,
        service=NOTHING,
        server=NOTHING,
        refusal=NOTHING,
        send_lag=NOTHING,
        tail=Tail(percentile=99, value_ms=None, low_ms=None, high_ms=None, method=""),
        spectrum=[],
        refused=[Refused(ending="overloaded", reason="OVERLOADED", count=7)] if scheduled else [],
    )


def spread(n: int, violations: int) -> np.ndarray:
    """Violations far from one another."""
    broke = np.zeros(n, np.bool_)
    if violations:
        broke[:: n // violations][:violations] = True
    return broke


def case(n: int, violations: int, **more: object) -> Case:
    fields: dict[str, object] = {
        "numbers": numbers(n, violations),
        "broke": spread(n, violations),
        "p99_ms": np.zeros(0),
        "whole_violations": violations,
        "whole_n": n,
    }
    return Case(**{**fields, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "violations", "verdict"),
    [
        (459, 0, Verdict.PASS),
        (458, 0, Verdict.INCONCLUSIVE),
        (10_000, 77, Verdict.PASS),
        (10_000, 78, Verdict.INCONCLUSIVE),
        (10_000, 124, Verdict.INCONCLUSIVE),
        (10_000, 125, Verdict.FAIL),
        (459, 11, Verdict.FAIL),
    ],
)
def test_the_budget_s_verdict_is_the_binomial_test_s(n: int, violations: int, verdict: Verdict) -> None:
    """The table of the method: 77 of 10,000 may be late, not 100."""
    assert verdict is judge(case(n, violations), [FINE], SLO).verdict


def test_a_tripped_guard_outweighs_everything_and_is_named() -> None:
    """A run that passed on a client short of CPU is not a pass."""
    found = judge(case(10_000, 0), [FINE, TRIPPED], SLO)
    assert Verdict.INVALID is found.verdict
    assert "client CPU 0.9 of a core (at most 0.8): it queues" in found.sentence


def test_violations_that_share_a_fate_count_as_fewer_requests() -> None:
    """Seventy late in a row are one stall: too few independent requests to pass."""
    clumped = np.zeros(10_000, np.bool_)
    clumped[500:570] = True
    found = judge(case(10_000, 70, broke=clumped), [], SLO)
    assert Verdict.PASS is judge(case(10_000, 70), [], SLO).verdict
    assert Verdict.INCONCLUSIVE is found.verdict
    assert found.autocorrelation > 0.9
    assert found.n_effective < 500
    assert f"as good as {found.n_effective:.0f} independent ones" in found.sentence


def test_looks_are_paid_for() -> None:
    """Each of four looks is judged at a quarter of the risk: 459 requests no longer do."""
    four = Slo(budget_ms=25, looks_max=4)
    assert Verdict.INCONCLUSIVE is judge(case(459, 0), [], four).verdict
    assert Verdict.PASS is judge(case(600, 0), [], four).verdict


def test_faults_fail_even_where_the_budget_is_kept() -> None:
    """0.3 % of failures are within one per cent, and still more than the scenario allows."""
    found = judge(case(10_000, 30, numbers=numbers(10_000, 30, errors=30)), [], SLO)
    assert Verdict.FAIL is found.verdict
    assert "30 of 10,000 admitted requests ended in a fault (0.30%, at most 0.10%)" in found.sentence


def test_discarding_seconds_never_turns_a_failure_into_a_pass() -> None:
    """It is UNSTABLE, and says what was discarded."""
    found = judge(case(9_000, 0, whole_violations=400, whole_n=10_000), [], SLO)
    assert Verdict.UNSTABLE is found.verdict
    assert "400 of 10,000" in found.sentence


def test_a_p99_that_moves_is_no_number() -> None:
    """A steady rise over half a minute; noise is none, and neither is a rise that nobody feels."""
    rng = np.random.default_rng(0)
    seconds = np.arange(30)
    assert Verdict.UNSTABLE is judge(case(9_000, 0, p99_ms=5 + seconds * 0.3), [], SLO).verdict
    assert "p99 rose by 8.7 ms" in judge(case(9_000, 0, p99_ms=5 + seconds * 0.3), [], SLO).sentence
    assert Verdict.PASS is judge(case(9_000, 0, p99_ms=5 + rng.random(30) * 9), [], SLO).verdict
    assert Verdict.PASS is judge(case(9_000, 0, p99_ms=5 + seconds * 0.01), [], SLO).verdict
    lost = np.where(seconds > 15, np.inf, 5.0)
    assert Verdict.UNSTABLE is judge(case(9_000, 0, p99_ms=lost), [], SLO).verdict


def test_where_nothing_was_admitted_nothing_was_promised() -> None:
    """The sentence says what came instead."""
    found = judge(case(0, 0, numbers=numbers(0, 0, scheduled=7)), [], SLO)
    assert (Verdict.INCONCLUSIVE, "no request was admitted: 7 OVERLOADED") == (found.verdict, found.sentence)


def test_the_run_is_as_good_as_its_worst_phase() -> None:
    """By name; a failure that was measured outweighs what another phase could not tell."""

    def said(verdict: Verdict) -> Judgement:
        return Judgement(verdict=verdict, sentence="so", n=10, violations=1)

    both = [("calm", said(Verdict.PASS)), ("storm", said(Verdict.FAIL)), ("blind", said(Verdict.INVALID))]
    found = worst(both)
    assert (Verdict.FAIL, "storm: so", 30, 3) == (found.verdict, found.sentence, found.n, found.violations)
    assert "so" == worst(both[:1]).sentence
    assert Verdict.INVALID is worst([both[0], both[2]]).verdict


def test_every_verdict_has_an_exit_code() -> None:
    """0 pass, 1 fail, 3 invalid, 4 what cannot be told; 2 is usage."""
    assert {0, 1, 3, 4} == set(EXIT_CODES.values())
    assert set(Verdict) == set(EXIT_CODES)
