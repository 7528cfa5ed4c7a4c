"""The exact binomial test, the guards, the exit codes."""

import pytest
from scipy.stats import binom

from loadtest import verdict
from loadtest.verdict import EXIT_CODES, Guards, Verdict


@pytest.mark.parametrize(
    ("n", "passes", "fails"), [(459, 0, 11), (1000, 2, 19), (10_000, 77, 125), (100_000, 927, 1075)]
)
def test_the_table_of_early_stopping(n: int, passes: int, fails: int) -> None:
    """p99 at 99 % confidence: most violations that pass, fewest that fail; 77 of 10,000 is MLCommons' own
    worked example."""
    found = [verdict.binomial(n, t, 0.99, 0.99) for t in (passes, passes + 1, fails - 1, fails)]
    assert [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.FAIL] == found


def test_a_lucky_short_run_cannot_pass() -> None:
    """458 requests without a violation are too few for p99 at 99 % confidence; 459 are enough."""
    assert Verdict.INCONCLUSIVE == verdict.binomial(458, 0, 0.99, 0.99)
    assert Verdict.PASS == verdict.binomial(459, 0, 0.99, 0.99)


def test_a_server_on_the_edge_seldom_passes() -> None:
    """Were exactly 1 % late, the chance of a PASS is below 1 %, whatever the run's length."""
    for n in (500, 1000, 5000):
        passing = [t for t in range(n // 20) if verdict.binomial(n, t, 0.99, 0.99) is Verdict.PASS]
        assert binom.cdf(max(passing), n, 0.01) < 0.01


def test_no_request_no_verdict() -> None:
    """Where nothing was admitted nothing was promised: inconclusive."""
    judgement = verdict.judge(0, 0, 0.99, 0.99, [])
    assert (Verdict.INCONCLUSIVE, "no request was admitted") == (judgement.verdict, judgement.sentence)


def guards(*, send_lag_p99_ms: float = 0.1, client_cpu: float = 0.3, unsent: int = 0) -> Guards:
    """What a healthy client says."""
    return Guards(send_lag_p99_ms=send_lag_p99_ms, client_cpu=client_cpu, unsent=unsent)


def test_a_healthy_client_is_believed() -> None:
    """At the limits themselves there is nothing to object to."""
    assert [] == verdict.objections(guards(send_lag_p99_ms=2.5, client_cpu=0.9), budget_ms=25)


@pytest.mark.parametrize(
    ("said", "about"),
    [
        (guards(send_lag_p99_ms=2.51), "2.51 ms late"),
        (guards(client_cpu=0.91), "91% of a core"),
        (guards(unsent=3), "could not send 3"),
    ],
)
def test_a_client_that_was_the_bottleneck_voids_the_run(said: Guards, about: str) -> None:
    """Late sends, a full core or unsent requests outweigh any count of violations, and say so."""
    objected = verdict.objections(said, budget_ms=25)
    judgement = verdict.judge(10_000, 0, 0.99, 0.99, objected)
    assert Verdict.INVALID == judgement.verdict
    assert about in judgement.sentence


def test_every_verdict_has_its_exit_code() -> None:
    """0 pass, 1 fail, 3 invalid, 4 inconclusive; 2 stays with usage errors."""
    assert {
        Verdict.PASS: 0,
        Verdict.FAIL: 1,
        Verdict.INVALID: 3,
        Verdict.INCONCLUSIVE: 4,
    } == EXIT_CODES
    assert set(Verdict) == set(EXIT_CODES)
