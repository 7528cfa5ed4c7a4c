"""From numbers and guards to a verdict and its sentence. Pure.

Order of the questions: was it the server (guards), was it one state (stationarity), was the budget kept
(binomial test on effective counts), and were there faults beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadtest.result import Guard, Numbers
from loadtest.scenario.form import Slo
from loadtest.stats.autocorrelation import lag_one, n_effective
from loadtest.stats.binomial import decide
from loadtest.stats.stationarity import trend
from loadtest.verdict import Judgement, Verdict

WINDOWS_MIN: Final = 10
"""Seconds that a trend needs."""
TREND_ALPHA: Final = 0.01
TREND_BUDGET_SHARE: Final = 0.1
"""A trend that moves p99 by less, from the first to the last second, changes nobody's mind."""

_RANK: Final = (Verdict.FAIL, Verdict.INVALID, Verdict.UNSTABLE, Verdict.INCONCLUSIVE, Verdict.PASS)
"""Worst first: a failure that was measured is one, whatever another phase could not tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What a phase is judged on.

    Attributes:
        broke: bool [admitted], by intended instant: the budget was broken.
        p99_ms: float [windows], per second, +inf where the answers never came; empty = not meant to be
        constant.
        whole_violations, whole_n: with what was discarded as warm-up.
    """

    numbers: Numbers
    broke: NDArray[np.bool_]
    p99_ms: NDArray[np.float64]
    whole_violations: int
    whole_n: int


def judge(case: Case, guards: Sequence[Guard], slo: Slo) -> Judgement:
    """The verdict of one phase."""
    numbers = case.numbers
    n, violations = numbers.admitted, numbers.violations
    rho = lag_one(case.broke)
    effective = n_effective(n, rho)

    def given(verdict: Verdict, sentence: str) -> Judgement:
        return Judgement(
            verdict=verdict,
            sentence=sentence,
            n=n,
            violations=violations,
            autocorrelation=rho,
            n_effective=effective,
        )

    tripped = [guard for guard in guards if guard.tripped]
    if tripped:
        said = "; ".join(
            f"{guard.name} {guard.value:.3g} {guard.unit} (at most {guard.limit:.3g}): {guard.says}"
            for guard in tripped
        )
        return given(Verdict.INVALID, f"not measured: {said}")
    if n == 0:
        return given(Verdict.INCONCLUSIVE, _nothing_admitted(numbers))
    allowed = 1 - slo.percentile / 100
    alpha = (1 - slo.confidence) / slo.looks_max
    budget = decide(effective, violations * effective / n, allowed, alpha)
    share = f"{violations:,} of {n:,} admitted requests broke the budget ({violations / n:.2%})"
    promised = f"{allowed:.3g} may, at {slo.confidence:.0%} confidence"
    if budget is Verdict.FAIL:
        return given(budget, f"{share}; {promised}")
    if numbers.errors / n > slo.error_ratio_max:
        return given(
            Verdict.FAIL,
            f"{numbers.errors:,} of {n:,} admitted requests ended in a fault ({numbers.errors / n:.2%}, "
            f"at most {slo.error_ratio_max:.2%})",
        )
    whole = decide(effective, case.whole_violations * effective / case.whole_n, allowed, alpha)
    if budget is Verdict.PASS and whole is not Verdict.PASS:
        return given(
            Verdict.UNSTABLE,
            f"{share}, but with the first seconds, discarded as warm-up, {case.whole_violations:,} of "
            f"{case.whole_n:,}: give it a longer warm-up phase",
        )
    if moved := _moved(case.p99_ms, slo.budget_ms):
        return given(Verdict.UNSTABLE, f"{share}, but {moved}: no single number describes the run")
    if budget is Verdict.INCONCLUSIVE:
        few = f"as good as {effective:.0f} independent ones, " if effective < 0.9 * n else ""
        return given(budget, f"{share}, {few}too few to tell whether it is less than {allowed:.3g}")
    return given(budget, f"{share}; {promised}")


def worst(judgements: Sequence[tuple[str, Judgement]]) -> Judgement:
    """The run's verdict: the worst phase's, by name when there are several."""
    if not judgements:
        return Judgement(
            verdict=Verdict.INCONCLUSIVE, sentence="it ended before anything was measured", n=0, violations=0
        )
    name, found = min(judgements, key=lambda entry: _RANK.index(entry[1].verdict))
    if len(judgements) == 1:
        return found
    return Judgement(
        verdict=found.verdict,
        sentence=f"{name}: {found.sentence}",
        n=sum(entry.n for _, entry in judgements),
        violations=sum(entry.violations for _, entry in judgements),
        autocorrelation=found.autocorrelation,
        n_effective=sum(entry.n_effective for _, entry in judgements),
    )


def _moved(p99_ms: NDArray[np.float64], budget_ms: float) -> str:
    """How p99 drifted, or ""."""
    if len(p99_ms) < WINDOWS_MIN:
        return ""
    # A second without an answer in time is as bad as four budgets: a trend needs finite numbers.
    found = trend(np.minimum(p99_ms, 4 * budget_ms))
    if found.p_value >= TREND_ALPHA or abs(found.change) < TREND_BUDGET_SHARE * budget_ms:
        return ""
    way = "rose" if found.change > 0 else "fell"
    return f"p99 {way} by {abs(found.change):.1f} ms from the first to the last second"


def _nothing_admitted(numbers: Numbers) -> str:
    if not numbers.scheduled:
        return "no request was scheduled"
    most = f": {numbers.refused[0].count:,} {numbers.refused[0].reason}" if numbers.refused else ""
    return f"no request was admitted{most}"
