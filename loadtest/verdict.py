"""Was the budget kept? An exact binomial test, so that a lucky short run cannot pass.

The test is MLPerf LoadGen's early stopping (its `early_stopping.cc`, tolerance 0): were the share of late
requests exactly what the percentile allows, X ~ Bin(n, 1 - percentile) would be late. PASS when so few as t
would then be rarer than 1 - confidence, FAIL when so many would, else INCONCLUSIVE: send more.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from scipy.stats import binom


class Verdict(enum.Enum):
    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"
    """The client, not the server, may have been measured."""


EXIT_CODES: Final[Mapping[Verdict, int]] = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.INVALID: 3,
    Verdict.INCONCLUSIVE: 4,
}
"""2 is usage."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict with what it stands on.

    Attributes:
        sentence: why, for a person.
        n: admitted requests.
        violations: those of them that were late or never fully answered.
    """

    verdict: Verdict
    sentence: str
    n: int
    violations: int


class Guards(msgspec.Struct, frozen=True, kw_only=True):
    """What the client says about itself.

    Attributes:
        send_lag_p99_ms: sent - intended.
        client_cpu: busiest process's CPU time / wall time, 1 = one core.
        unsent: requests that the client could not send.
    """

    send_lag_p99_ms: float
    client_cpu: float
    unsent: int


LAG_SHARE_MAX: Final = 0.1
"""Of the budget: a later send is a burst that nobody ordered, and hands the server ready-made batches."""
CLIENT_CPU_MAX: Final = 0.9
"""Above it the client queues, and would report its own queue."""


def objections(guards: Guards, budget_ms: float) -> list[str]:
    """Why the measurement does not count; empty when it does."""
    said = []
    lag_ms_max = LAG_SHARE_MAX * budget_ms
    if guards.send_lag_p99_ms > lag_ms_max:
        said.append(
            f"requests left {guards.send_lag_p99_ms:.2f} ms late at p99; at most {lag_ms_max:.2f} ms counts"
        )
    if guards.client_cpu > CLIENT_CPU_MAX:
        said.append(f"a client process used {guards.client_cpu:.0%} of a core; at most {CLIENT_CPU_MAX:.0%}")
    if guards.unsent:
        said.append(f"the client could not send {guards.unsent} requests")
    return said


def binomial(n: int, violations: int, percentile: float, confidence: float) -> Verdict:
    """The test itself: `violations` of `n`, each allowed with probability 1 - percentile."""
    allowed, alpha = 1 - percentile, 1 - confidence
    if n == 0:
        return Verdict.INCONCLUSIVE
    if binom.cdf(violations, n, allowed) < alpha:
        return Verdict.PASS
    if binom.sf(violations - 1, n, allowed) < alpha:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


def judge(
    n: int, violations: int, percentile: float, confidence: float, objected: Sequence[str]
) -> Judgement:
    """Give the verdict; objections outweigh everything."""
    verdict = Verdict.INVALID if objected else binomial(n, violations, percentile, confidence)
    share = f"{violations} of {n} admitted requests broke the budget ({violations / max(n, 1):.2%})"
    allowed = f"{1 - percentile:.3g} may, at {confidence:.0%} confidence"
    sentence = {
        Verdict.PASS: f"{share}; {allowed}",
        Verdict.FAIL: f"{share}; {allowed}",
        Verdict.INCONCLUSIVE: f"{share}: too few to tell whether it is less than {1 - percentile:.3g}",
        Verdict.INVALID: "the client was the bottleneck: " + "; ".join(objected),
    }[verdict]
    if n == 0 and not objected:
        sentence = "no request was admitted"
    return Judgement(verdict=verdict, sentence=sentence, n=n, violations=violations)
