"""What the harness must report of each experiment, worked out from the mock's account and by arithmetic.

Errors are stated before anything is measured. Where the mock counts, the harness must count the same: no
error. Where time is measured, the way there and back lies on top of what was injected: `WAY_MS`, to one side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Final

from loadtest.selftest import request_set
from loadtest.selftest.check import Check, Sheet
from loadtest.selftest.experiments import BUDGET_MS, FATES, FATES_STREAMED, HELD, LAW, SENDING, STALL, Found
from loadtest.verdict import Verdict

EARLY_MS: Final = 0.1
"""Nothing arrives before it was sent; two processes may read the clock that far apart."""
WAY_MS: Final = 10.0
"""gRPC on both sides and loopback, also at p99 and with both cores busy."""
BURST_MS: Final = 150.0
"""What was held up is then worked off one after another: 200 requests of 0.75 ms each."""
SIGMAS: Final = 3.0
"""Of a sampling error. The draws are seeded: a right harness is within it always, not only mostly."""
ROUNDING: Final = 1e-6
"""Of sums and of decimal places."""

_WAY: Final = (EARLY_MS, WAY_MS)
_ROUNDED: Final = (ROUNDING, ROUNDING)


def checks(found: Found) -> list[Check]:
    """Everything that one experiment must show."""
    sheet = Sheet(found.experiment.name)
    if found.noise:
        tries = found.repeats + 1
        sheet.same("runs that did not count", 0, tries, f"machine too noisy: {found.noise}")
    else:
        _CHECKS[found.experiment.name](found, sheet)
        _guards(found, sheet)
    return sheet.checks


def _law(found: Found, sheet: Sheet) -> None:
    numbers, truth = found.run.summary, found.truth
    count = len(truth.fate)
    sheet.same("requests", count, numbers.scheduled)
    _law_times(found, sheet)
    full, degraded = truth.count("answered", "reversed"), truth.count("degraded")
    sheet.same("degraded answers", degraded, numbers.degraded)
    sheet.same("violations", 0, numbers.violations, "every delay is far below the budget")
    goodput = numbers.goodput_per_s * found.run.phases[0].duration_s
    sheet.near("full answers in budget", full, goodput, _ROUNDED, "goodput leaves degraded ones out")
    _quality(found, sheet, straight=truth.count("answered", "degraded"), prior=0)
    scored = (full + degraded / 2) / count
    assert found.run.quality is not None
    sheet.near("coverage", scored, found.run.quality.coverage, _ROUNDED, "degraded ones score half")


def _law_times(found: Found, sheet: Sheet) -> None:
    numbers, truth, injected = found.run.summary, found.truth, found.experiment.injected
    told_ms = [told / 1e3 for told in truth.told_us]
    for share, latency, server in (
        (0.5, numbers.latency.p50_ms, numbers.server.p50_ms),
        (0.99, numbers.latency.p99_ms, numbers.server.p99_ms),
    ):
        name = f"p{100 * share:g}"
        drawn_ms = _nearest_rank(truth.delay_ms, share)
        sheet.near(f"{name} of the delays drawn, ms", drawn_ms, latency, _WAY, "the way there and back")
        spread = SIGMAS * math.sqrt(share * (1 - share) / len(truth.delay_ms))
        low_ms, law_ms, high_ms = (
            injected.median_ms * math.exp(injected.sigma * NormalDist().inv_cdf(at))
            for at in (share - spread, share, share + spread)
        )
        error = (law_ms - low_ms + EARLY_MS, high_ms - law_ms + WAY_MS)
        sheet.near(
            f"{name} of the law, ms", law_ms, latency, error, f"rank within {SIGMAS:g} sigmas, and the way"
        )
        lie_ms = _nearest_rank(told_ms, share)
        sheet.near(
            f"{name} by the server's clock, ms", lie_ms, server, _ROUNDED, "it tells a tenth: shown as told"
        )


def _fates(found: Found, sheet: Sheet) -> None:
    numbers, truth = found.run.summary, found.truth
    overloaded, late = truth.count("overloaded"), truth.count("late")
    never = truth.count("expired", "failed", "silent")
    admitted = len(truth.fate) - overloaded
    sheet.same("requests", len(truth.fate), numbers.scheduled, "two client processes, each request once")
    for ending, fate in (
        ("overloaded", "overloaded"),
        ("expired", "expired"),
        ("failed", "failed"),
        ("timeout", "silent"),
    ):
        counted = sum(entry.count for entry in numbers.refused if entry.ending == ending)
        sheet.same(f"ended as {ending}", truth.count(fate), counted)
    sheet.same("admitted", admitted, numbers.admitted, "all but those refused as overload")
    sheet.same("violations", late + never, numbers.violations, "late, expired, failed, never answered")
    sheet.same("errors", truth.count("failed", "silent"), numbers.errors, "failed, never answered")
    sheet.same("latencies", admitted, numbers.latency.n, "one per admitted request, answered or not")
    why = f"{never / admitted:.1%} of the admitted were never answered: +inf"
    sheet.same("p99, ms", "inf", numbers.latency.p99_ms, why)
    delay_ms = found.experiment.injected.median_ms
    sheet.near("p50, ms", delay_ms, numbers.latency.p50_ms, _WAY, "the way there and back")
    sheet.same("refusal latencies", overloaded, numbers.refusal.n)
    sheet.near("p50 of refusals, ms", 0.0, numbers.refusal.p50_ms, _WAY, "the way there and back")
    _quality(found, sheet, straight=truth.count("answered"), prior=late + never + overloaded)
    why = f"{(late + never) / admitted:.1%} broke a budget that 1 % may break"
    sheet.same("verdict", Verdict.FAIL.name, found.run.judgement.verdict.name, why)


def _stall(found: Found, sheet: Sheet) -> None:
    start_ns, end_ns = found.truth.stall_ns
    sheet.same("requests", len(found.truth.fate), found.run.summary.scheduled)
    _held_up(found, sheet, (end_ns - start_ns) / 1e6)
    passed = found.run.judgement.verdict is Verdict.PASS
    why = "one stall is one event: FAIL, or too little to tell"
    sheet.same("verdict", "not PASS", "PASS" if passed else "not PASS", why)


def _held(found: Found, sheet: Sheet) -> None:
    sheet.same("requests", len(found.truth.fate), found.run.summary.scheduled, "sent late, but sent")
    _held_up(found, sheet, found.held_ms)
    sheet.near(
        "p99 of the service time, ms",
        found.experiment.injected.median_ms,
        found.run.summary.service.p99_ms,
        (EARLY_MS, BURST_MS),
        "done - sent: does not see what a late client held up",
    )
    sheet.same("verdict", Verdict.INVALID.name, found.run.judgement.verdict.name, "the client stood still")


def _guards(found: Found, sheet: Sheet) -> None:
    """Those of the sends must see a client that was stopped; no other has anything to see."""
    tripped = {guard.name for guard in found.run.phases[0].guards if guard.tripped}
    on_sends = tripped == SENDING
    expected = "on sends" if found.experiment.hold_s else "none"
    sheet.same("guards tripped", expected, "on sends" if on_sends else ", ".join(sorted(tripped)) or "none")


def _held_up(found: Found, sheet: Sheet, held_ms: float) -> None:
    """Of evenly spaced requests, those intended less than x before the end of a stall waited less than x."""
    numbers, per_ms = found.run.summary, found.experiment.rate_per_s / 1e3
    longest_ms = held_ms + found.experiment.injected.median_ms
    sheet.near(
        "requests over budget",
        (longest_ms - BUDGET_MS) * per_ms,
        numbers.violations,
        (2.0, 2.0 + BURST_MS * per_ms),
        f"rate x (stall - budget); {BURST_MS:g} ms to work off what was held up",
    )
    above = numbers.scheduled - math.ceil(0.99 * numbers.scheduled)
    error = (2 / per_ms, BURST_MS)
    sheet.near(
        "p99, ms", longest_ms - above / per_ms, numbers.latency.p99_ms, error, "the stall, less 1 % / rate"
    )
    sheet.near("longest, ms", longest_ms, numbers.latency.max_ms, error, "the first that was held up")


def _quality(found: Found, sheet: Sheet, *, straight: int, prior: int) -> None:
    """The nDCG of what the user saw: `straight` answers in time, `prior` orders, and the reversed answers."""
    reversed_ = found.truth.count("reversed")
    total = straight * request_set.STRAIGHT + prior * request_set.PRIOR + reversed_ * request_set.REVERSED
    assert found.run.quality is not None
    sheet.near(
        "perceived nDCG",
        total / len(found.truth.fate),
        found.run.quality.perceived,
        _ROUNDED,
        f"{straight} straight, {reversed_} reversed, {prior} left with the prior",
    )


def _nearest_rank(values: Sequence[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


_CHECKS: Final[Mapping[str, Callable[[Found, Sheet], None]]] = {
    LAW.name: _law,
    FATES.name: _fates,
    FATES_STREAMED.name: _fates,
    STALL.name: _stall,
    HELD.name: _held,
}
