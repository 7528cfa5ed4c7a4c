"""Numbers and sentences that terminal, Markdown and HTML share: a run says the same everywhere. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from loadtest.records import STAGES
from loadtest.result import Milliseconds, Numbers, Quality, Refused, Run, Tail
from loadtest.scenario.form import DOORS, Closed

TOO_FEW: Final = "too few"
NEVER: Final = "∞"

RULES: Final = tuple(
    " ".join(rule.split())
    for rule in """
    All send instants were computed before the run; no answer, and no lack of one, delayed a later request.

    Latency is the answer's instant minus the instant at which the request should have been sent. Service time
    (since it was sent) and send lag stand beside it.

    A request belongs to the phase and to the second of its intended instant, and was followed until it ended,
    also beyond them.

    Admitted is every request that was not refused as overloaded, denied, invalid or unready. One of those
    without an answer is infinitely late: it counts in every percentile, and against the budget.

    Goodput counts answers within the budget with every candidate scored; degraded answers stand apart.

    Percentiles are nearest-rank, over every request; no sketch. Where there are too few requests for one, it
    is not shown.

    The percentile's interval is the wider of a distribution-free one (order statistics) and a block
    bootstrap.

    The verdict is the binomial test of MLPerf LoadGen, with n and the violations scaled down for requests
    that share their fate.

    When a guard trips, the client may have been measured instead of the server: the run is INVALID.

    Perceived nDCG is that of the order that came within budget, else of the order that the request came with:
    what a caller shows who does not wait. Every scheduled request counts.
    """.strip().split("\n\n")
)
"""How it was measured; printed in every report."""

_STAGE_NAMES: Final[Mapping[str, str]] = dict(
    zip(STAGES, ("decode", "queue", "batch forming", "inference", "splitting"), strict=True)
)


# --- numbers ---


WITHHELD: Final = (
    "The client, not the server, may have been measured: there is no number to report. What was recorded is "
    "in run.json and records.npz, for finding out why."
)


def number(value: float) -> str:
    """Three significant digits or so, never an exponent."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1:
        return f"{value:.3g}" if size >= 1e-4 else f"{value:.6f}"
    if size < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if size < 100 else f"{value:,.0f}"


def milliseconds(value: Milliseconds) -> str:
    """Without the unit; ∞ for what was never answered."""
    if value is None:
        return TOO_FEW
    return NEVER if value == "inf" else number(float(value))


def with_unit(value: Milliseconds) -> str:
    """`12.3 ms`; no unit where there is no number."""
    shown = milliseconds(value)
    return shown if value is None or value == "inf" else f"{shown} ms"


def interval(tail: Tail) -> str:
    """`12.1 to 13.4`, or what is known of it; empty when nothing is."""
    low, high = tail.low_ms, tail.high_ms
    if low is None and high is None:
        return ""
    if high is None:
        return f"at least {milliseconds(low)}"
    if low is None:
        return f"at most {milliseconds(high)}"
    return f"{milliseconds(low)} to {milliseconds(high)}"


def tail(found: Tail) -> str:
    """`12.7 ms (12.1 to 13.4)`."""
    shown, around = with_unit(found.value_ms), interval(found)
    return f"{shown} ({around})" if around else shown


def per_second(value: float) -> str:
    """`299.6/s`."""
    return f"{value:,.0f}/s" if value >= 1000 or value == round(value) else f"{value:.1f}/s"


def percent(share: float) -> str:
    """Enough digits to tell 99.9 from 100."""
    value = 100 * share
    if value in (0, 100) or 1 <= value <= 99:
        return f"{value:.0f} %" if value in (0, 100) else f"{value:.1f} %"
    if 99.995 < value < 100:
        return "> 99.99 %"
    return "< 0.01 %" if 0 < value < 0.005 else f"{value:.2f} %"


def ndcg(value: float | None) -> str:
    """Four decimals: what differs between variants of one model."""
    return "-" if value is None else f"{value:.4f}"


def signed(value: float) -> str:
    """Four decimals with a sign, a true minus; a loss is negative."""
    shown = f"{value:+.4f}".replace("-", "−")
    return "0.0000" if shown[1:] == "0.0000" else shown


def span(least: int, most: int) -> str:
    """`4 to 17`, or the one number that it is."""
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def count(value: int, noun: str) -> str:
    """`1 request`, `2,000 requests`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


# --- sentences ---


def percentile_name(run: Run) -> str:
    """`p99`."""
    return f"p{run.scenario.slo.percentile:g}"


def confidence(run: Run) -> str:
    """Of the percentile's interval: `95 %`."""
    return f"{100 * run.summary.tail.confidence:g} %"


def load(run: Run) -> str:
    """`300 requests/s`, or the range of the judged phases' planned loads; empty when nothing was offered."""
    arrivals = run.scenario.phases[0].arrivals
    if isinstance(arrivals, Closed):
        return f"{arrivals.in_flight} in flight (closed loop)"
    loads = [phase.load for phase in run.phases if phase.judgement is not None]
    rates = sorted({round(entry * run.scenario.rate_per_s, 6) for entry in loads})
    if not rates or not run.scenario.rate_per_s:
        rates = [run.summary.offered_per_s]
    if not rates[-1]:
        return ""
    least, most = number_of_requests(rates[0]), number_of_requests(rates[-1])
    return f"{most} requests/s" if least == most else f"{least} to {most} requests/s"


def number_of_requests(rate_per_s: float) -> str:
    """A rate as people write it: no needless decimals."""
    return f"{rate_per_s:,.0f}" if rate_per_s >= 100 else f"{rate_per_s:.4g}"


def budget(run: Run) -> str:
    """The limit, or that each class has its own."""
    own = {entry.budget_ms for entry in run.scenario.workload.mix} - {0.0, run.scenario.slo.budget_ms}
    if own:
        return "its class's budget"
    return f"{run.scenario.slo.budget_ms:g} ms" if run.scenario.slo.budget_ms else "the model's budget"


def door(run: Run) -> str:
    """How requests reached the server."""
    target = run.scenario.target
    return f"{DOORS[target.transport]}; {count(target.connections, 'connection')} per process"


def promise(run: Run) -> str:
    """What was put to the test."""
    at = load(run)
    return f"{percentile_name(run)} within {budget(run)}{f' at {at}' if at else ''}"


def sentence(run: Run) -> str:
    """Why the verdict is what it is, as a whole sentence."""
    return as_sentence(run.judgement.sentence)


def as_sentence(text: str) -> str:
    """With a capital, unless it begins with a name such as p99, and with a full stop if it has none."""
    text = text.strip()
    if re.match(r"[a-z]+ ", text):
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def interruption(run: Run) -> str:
    """Empty when the run went to its end."""
    if run.interrupted_after_s is None:
        return ""
    return f"Interrupted after {number(run.interrupted_after_s)} s: this is what was measured until then."


def ending(entry: Refused) -> str:
    """`overloaded: QUEUE_FULL`."""
    return f"{entry.ending}: {entry.reason}" if entry.reason else entry.ending


def counts(numbers: Numbers) -> str:
    """What became of the requests."""
    text = (
        f"{numbers.scheduled:,} scheduled, {numbers.admitted:,} admitted, {numbers.answered:,} answered, "
        f"{numbers.in_time:,} in time"
    )
    return f"{text}, {numbers.degraded:,} of the answers degraded" if numbers.degraded else text


def not_admitted(numbers: Numbers) -> float:
    """Share of the scheduled that was refused."""
    return 1 - numbers.admitted / numbers.scheduled if numbers.scheduled else 0.0


def ranking(quality: Quality) -> str:
    """The quality in one line."""
    text = (
        f"nDCG@{quality.k} as users saw it {ndcg(quality.perceived)} "
        f"({ndcg(quality.perceived_low)} to {ndcg(quality.perceived_high)}), "
        f"prior order {ndcg(quality.prior)}"
    )
    if quality.losses is not None:
        text += f", unquantised on an idle server {ndcg(quality.losses.reference)}"
    return text


def losses(quality: Quality) -> list[tuple[str, float]]:
    """Name and nDCG lost; empty without a reference."""
    found = quality.losses
    if found is None:
        return []
    return [
        ("quantisation", found.quantisation),
        ("degradation", found.degradation),
        ("lateness", found.lateness),
        ("refusal", found.refusal),
    ]


def stage(name: str) -> str:
    """A part of a late answer's time, for a person."""
    return _STAGE_NAMES.get(name, name)


def gate(run: Run) -> list[str]:
    """What `--gate` would ask of this run beside the verdict."""
    asked = run.scenario.gate
    limits = (
        ("refused at most", asked.refused_ratio_max, percent),
        ("nDCG lost at most", asked.ndcg_loss_max, ndcg),
        ("goodput at least", asked.goodput_ratio_min, percent),
    )
    return [f"{name} {shown(limit)}" for name, limit, shown in limits if limit is not None]


def determinism(run: Run) -> str:
    """The same request, alone and under load; empty when nothing was compared."""
    found = run.determinism
    if found is None or not found.compared:
        return ""
    if not found.flipped and not found.score_delta_max:
        return f"{found.compared:,} sampled answers equal those of the idle server, score for score"
    return (
        f"{found.flipped:,} of {found.compared:,} sampled answers came in another order than on the idle "
        f"server; scores differ by up to {found.score_delta_max:.2g} standard deviations"
    )


def recoveries(run: Run) -> list[str]:
    """How long it took to come back from each overload."""
    said = []
    for entry in run.recoveries:
        if entry.seconds is None:
            took = f"goodput did not come back during {entry.phase}"
        elif entry.seconds == 0:
            took = f"goodput was back at once in {entry.phase}"
        else:
            took = f"goodput was back {entry.seconds:g} s into {entry.phase}"
        said.append(f"After {entry.after}, {took} ({percent(entry.share_before)} came in time before).")
    return said
