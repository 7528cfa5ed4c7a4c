"""What the reader of report.html sees before scrolling: verdict, promise, load and latency, quality. Pure."""

from __future__ import annotations

from html import escape

from loadtest.report import words
from loadtest.report.losses import loss_bar
from loadtest.result import Milliseconds, Quality, Run


def first_screen(run: Run) -> str:
    """The page's head."""
    verdict = run.judgement.verdict.name
    when = run.created[:16].replace("T", " ")
    parts = [
        f'<p class="eyebrow">Podium load test: {escape(run.scenario.name)}, {escape(when)}</p>',
        f'<h1 class="verdict" id="verdict">{verdict}</h1>',
        f'<p class="promise">{escape(words.promise(run))}</p>',
        f'<p class="why">{escape(words.sentence(run))}{_stopped(run)}</p>',
        f'<dl class="figures">{_rates(run)}{_tail(run)}</dl>' if run.counts else _withheld(run),
        _seen(run.quality) if run.quality and run.counts else "",
    ]
    return "\n".join(parts)


def _stopped(run: Run) -> str:
    said = words.interruption(run)
    return f' <span class="stopped">{escape(said)}</span>' if said else ""


def _withheld(run: Run) -> str:
    """The same three figures, without what was not measured."""
    numbers = run.summary
    offered = _figure(
        "offered load", words.per_second(numbers.offered_per_s), words.count(numbers.scheduled, "request")
    )
    nothing = "".join(
        _figure(name, "not measured", "")
        for name in ("goodput", f"{words.percentile_name(run)} of the admitted")
    )
    return f'<dl class="figures">{offered}{nothing}</dl><p class="why">{escape(words.WITHHELD)}</p>'


def _rates(run: Run) -> str:
    numbers = run.summary
    kept = numbers.goodput_per_s / numbers.offered_per_s if numbers.offered_per_s else 0.0
    goodput = f"{words.percent(kept)} of the offered, in time and fully scored"
    if numbers.degraded_goodput_per_s:
        goodput = f"fully scored; another {words.per_second(numbers.degraded_goodput_per_s)} degraded"
    refused = words.percent(words.not_admitted(numbers))
    offered = f"{words.count(numbers.scheduled, 'request')}, {refused} refused"
    return _figure("offered load", words.per_second(numbers.offered_per_s), offered) + _figure(
        "goodput", words.per_second(numbers.goodput_per_s), goodput
    )


def _figure(name: str, value: str, says: str, between: str = "") -> str:
    shown = f'<span class="big">{_units(value)}</span>{between}<small>{escape(says)}</small>'
    return f"<div><dt>{escape(name)}</dt><dd>{shown}</dd></div>"


def _units(value: str) -> str:
    """The unit smaller than its number."""
    for unit in (" ms", "/s"):
        if value.endswith(unit):
            return f"{escape(value[: -len(unit)])}<i>{unit.strip()}</i>"
    return escape(value)


def _tail(run: Run) -> str:
    tail = run.summary.tail
    says = f"budget {words.budget(run)}"
    if around := words.interval(tail):
        says = f"{words.confidence(run)} interval {around} ms; {says}"
    if tail.value_ms == "inf":
        says = f"more than {100 - tail.percentile:g} in 100 were never answered; {says}"
    several = sum(phase.judgement is not None for phase in run.phases) > 1
    name = f"{words.percentile_name(run)} of the admitted, {'all phases' if several else 'since intended'}"
    return _figure(name, words.with_unit(tail.value_ms), says, _gauge(run))


def _gauge(run: Run) -> str:
    """Percentile and interval on a line from 0, with the budget as a stroke; nothing without numbers."""
    tail, budget_ms = run.summary.tail, run.scenario.slo.budget_ms
    if tail.value_ms is None or not budget_ms:
        return ""
    finite = [float(value) for value in (tail.value_ms, tail.high_ms) if isinstance(value, float | int)]
    top = 1.12 * max([budget_ms, *finite])

    def at(value: Milliseconds, otherwise: float) -> float:
        return 100 * float(value) / top if isinstance(value, float | int) else otherwise

    middle = at(tail.value_ms, 100.0)
    low, high = at(tail.low_ms, middle), at(tail.high_ms, 100.0 if tail.high_ms == "inf" else middle)
    label = f"{words.tail(tail)} on a line from 0; the budget of {budget_ms:g} ms is marked"
    return (
        f'<span class="gauge" role="img" aria-label="{escape(label)}">'
        f'<b style="left:{low:.2f}%;width:{high - low:.2f}%"></b>'
        f'<u style="left:{at(budget_ms, 0.0):.2f}%"></u><s style="left:{middle:.2f}%"></s></span>'
    )


def _seen(quality: Quality) -> str:
    around = f"{words.ndcg(quality.perceived_low)} to {words.ndcg(quality.perceived_high)}"
    known = [f"95 % interval {around}", f"prior order {words.ndcg(quality.prior)}"]
    if quality.losses is not None:
        known.append(f"unquantised on an idle server {words.ndcg(quality.losses.reference)}")
    return (
        f'<dl class="seen"><div><dt>nDCG@{quality.k} as users saw it</dt>'
        f'<dd><span class="big">{words.ndcg(quality.perceived)}</span></dd></div>'
        f"<div><dt>{escape('; '.join(known))}</dt><dd>{loss_bar(quality)}</dd></div></dl>"
    )
