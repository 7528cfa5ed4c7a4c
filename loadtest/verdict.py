"""Was the budget kept? Five answers, and what each stands on.

The test is MLPerf LoadGen's early stopping (its `early_stopping.cc`, tolerance 0): were the share of late
requests exactly what the percentile allows, X ~ Bin(n, 1 - percentile) would be late. PASS when so few as t
would then be rarer than 1 - confidence, FAIL when so many would, else INCONCLUSIVE: send more. Requests of
one run or of one stall share their fate, so n and t are scaled down to what independent ones would say.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import msgspec


class Verdict(enum.Enum):
    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    UNSTABLE = "unstable"
    """The numbers moved while they were taken: no single one describes the run."""
    INVALID = "invalid"
    """The client, not the server, may have been measured."""


EXIT_CODES: Final[Mapping[Verdict, int]] = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.INVALID: 3,
    Verdict.INCONCLUSIVE: 4,
    Verdict.UNSTABLE: 4,
}
"""2 is usage."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict with what it stands on.

    Attributes:
        sentence: why, for a person.
        n: admitted requests.
        violations: those of them that were late or never fully answered.
        autocorrelation: lag 1, of "broke the budget" along the intended instants.
        n_effective: how many independent requests would say as much: n (1 - rho) / (1 + rho).
    """

    verdict: Verdict
    sentence: str
    n: int
    violations: int
    autocorrelation: float = 0.0
    n_effective: float = 0.0
