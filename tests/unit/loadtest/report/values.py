"""Parts of a result, made by formula from a level of load."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from loadtest.result import (
    Guard,
    Losses,
    Milliseconds,
    Numbers,
    Percentiles,
    PhaseResult,
    Quality,
    Refused,
    Slice,
    Tail,
)
from loadtest.verdict import Judgement, Verdict

BUDGET_MS = 25.0
RATE_PER_S = 300.0
REFERENCE, SERVED, PRIOR = 0.5214, 0.5208, 0.4391


@dataclass(frozen=True)
class Load:
    """One level of load and what became of it.

    Attributes:
        late, refused: shares of the scheduled.
        scale: of the latencies; 1 = those of an easy load.
    """

    offered_per_s: float
    duration_s: float
    scale: float = 1.0
    late: float = 0.0004
    refused: float = 0.0
    degraded: float = 0.0


EASY = Load(RATE_PER_S, 60.0)


def latency_ms(share: float, scale: float) -> float:
    """A plausible quantile function: 6 ms median, a tail that grows with the nines."""
    return scale * (3.5 + 2.4 * (-math.log1p(-min(share, 0.99999))) ** 0.9)


def percentiles(n: int, scale: float, never: float = 0.0) -> Percentiles:
    """Of n values, the share `never` of them infinite."""

    def at(share: float, least: int) -> Milliseconds:
        if n < least:
            return None
        return "inf" if share > 1 - never else round(latency_ms(share, scale), 3)

    return Percentiles(
        n=n,
        p50_ms=at(0.5, 1),
        p90_ms=at(0.9, 66),
        p99_ms=at(0.99, 662),
        p999_ms=at(0.999, 6636),
        max_ms=at(0.99999, 1),
    )


def numbers(load: Load) -> Numbers:
    """The counts and latencies of this load."""
    scheduled = round(load.offered_per_s * load.duration_s)
    refused = round(scheduled * load.refused)
    admitted = scheduled - refused
    late = round(scheduled * load.late)
    lost = late // 3
    in_time = admitted - late
    degraded = round(in_time * load.degraded)
    never = lost / admitted if admitted else 0.0
    latency = percentiles(admitted, load.scale, never)
    p99 = latency.p99_ms
    number = p99 if isinstance(p99, float) else None
    shares = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9995, 0.9999)
    return Numbers(
        scheduled=scheduled,
        admitted=admitted,
        answered=admitted - lost,
        in_time=in_time,
        degraded=degraded,
        unsent=0,
        errors=lost // 4,
        violations=late,
        offered_per_s=load.offered_per_s,
        answered_per_s=(admitted - lost) / load.duration_s if load.duration_s else 0.0,
        goodput_per_s=(in_time - degraded) / load.duration_s if load.duration_s else 0.0,
        degraded_goodput_per_s=degraded / load.duration_s if load.duration_s else 0.0,
        latency=latency,
        service=percentiles(admitted - lost, load.scale * 0.985),
        server=percentiles(admitted - lost, load.scale * 0.87),
        refusal=percentiles(refused, 0.14),
        send_lag=percentiles(scheduled, 0.006),
        tail=Tail(
            percentile=99.0,
            value_ms=p99,
            low_ms=None if number is None else round(number * 0.967, 3),
            high_ms=None if number is None else round(number * 1.058, 3),
            method="block bootstrap" if number is not None else "",
        ),
        spectrum=[
            (share, "inf" if share > 1 - never else latency_ms(share, load.scale))
            for share in (shares if admitted else ())
        ],
        refused=_refused(refused, lost),
    )


def _refused(refused: int, lost: int) -> list[Refused]:
    entries = [
        Refused(ending="overloaded", reason="PREDICTED_LATE", count=refused * 3 // 4),
        Refused(ending="overloaded", reason="QUEUE_FULL", count=refused - refused * 3 // 4),
        Refused(ending="expired", reason="DEADLINE_IN_QUEUE", count=lost - lost // 4),
        Refused(ending="timeout", reason="", count=lost // 4),
    ]
    return [entry for entry in entries if entry.count]


def quality(load: Load) -> Quality:
    """The ranking under this load."""
    gain = SERVED - PRIOR
    degradation = 0.012 * load.degraded
    lateness, refusal = gain * load.late, gain * load.refused
    perceived = SERVED - degradation - lateness - refusal
    return Quality(
        k=10,
        requests=round(load.offered_per_s * load.duration_s * 0.97),
        perceived=perceived,
        perceived_low=perceived - 0.0027,
        perceived_high=perceived + 0.0027,
        prior=PRIOR,
        mrr=perceived + 0.071,
        overlap=0.984,
        coverage=(1 - load.refused - load.late) * (1 - 0.3 * load.degraded),
        weighted_goodput_per_s=load.offered_per_s * (1 - load.refused - load.late) * 0.998,
        degraded_weighted_goodput_per_s=load.offered_per_s * load.degraded * 0.97,
        losses=Losses(
            requests=round(load.offered_per_s * load.duration_s * 0.97),
            reference=REFERENCE,
            perceived=perceived,
            quantisation=REFERENCE - SERVED,
            degradation=degradation,
            lateness=lateness,
            refusal=refusal,
        ),
    )


def guards(lag_ms: float = 0.081, cpu: float = 0.34) -> list[Guard]:
    """What was looked at, with this p99 send lag and client CPU."""
    rows = [
        ("send lag p99", lag_ms, 0.5, "ms", "a client that sends late measures itself"),
        ("late sends", 0.0006, 0.01, "", "share of the sends that left more than 1 ms late"),
        ("client CPU", cpu, 0.8, "", "of a core, per process: a busy client queues on its own side"),
        ("steal", 0.0, 0.02, "", "share of the machine's time that its host took away"),
        ("offered rate", 0.0012, 0.01, "", "how far the rate sent lies from the rate planned"),
        ("arrivals", 0.0141, 0.1, "", "Kolmogorov-Smirnov distance between the gaps planned and sent"),
        ("Little's law", 0.0031, 0.05, "", "|L - lambda W| / L: the books must balance"),
    ]
    return [
        Guard(name=name, value=value, limit=limit, unit=unit, says=says)
        for name, value, limit, unit, says in rows
    ]


def judgement(verdict: Verdict, found: Numbers, sentence: str) -> Judgement:
    """A verdict on these numbers."""
    return Judgement(
        verdict=verdict,
        sentence=sentence,
        n=found.admitted,
        violations=found.violations,
        autocorrelation=0.021,
        n_effective=found.admitted * 0.959,
    )


def phase_result(name: str, starts_s: float, load: Load, given: Judgement | None) -> PhaseResult:
    """A phase of this load."""
    return PhaseResult(
        name=name,
        load=load.offered_per_s / RATE_PER_S,
        starts_s=starts_s,
        duration_s=load.duration_s,
        discarded_s=0.0,
        numbers=numbers(load),
        quality=quality(load),
        # A process that has just begun is late, and it does not matter.
        guards=guards() if given else guards(lag_ms=2.7),
        judgement=given,
    )


def deciles(load: Load) -> list[Slice]:
    """Ten equal shares of the requests, by candidate count."""
    edges = (4, 18, 31, 47, 64, 88, 119, 158, 224, 371, 1000)
    share = load.duration_s / 10
    slices = []
    for at, (least, most) in enumerate(pairwise(edges)):
        scale = load.scale * (0.55 + 0.1 * at)
        found = Load(load.offered_per_s, share, scale, load.late * at / 4, load.refused, load.degraded)
        slices.append(
            Slice(
                name=str(at + 1),
                candidates_least=least,
                candidates_most=most - 1,
                numbers=numbers(found),
                quality=quality(found),
            )
        )
    return slices
