"""A run's result, as in `run.json`: everything that a report shows. Values only.

Units are in the names. Times that a report may show as "∞" or "too few" are `Milliseconds`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from loadtest.scenario.form import Scenario
from loadtest.verdict import Judgement, Verdict

SCHEMA_VERSION: Final = 2

Milliseconds = float | Literal["inf"] | None
""""inf" = more than that share of the requests was never answered; None = too few requests to say."""


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """One percentile with its interval.

    Attributes:
        percentile: per cent.
        low_ms, high_ms: the wider of a distribution-free (order statistics) and a circular-block bootstrap
            interval; None = not bounded.
        method: which of them it was.
        confidence: of the interval.
    """

    percentile: float
    value_ms: Milliseconds
    low_ms: Milliseconds
    high_ms: Milliseconds
    method: Literal["order statistics", "block bootstrap", ""]
    confidence: float = 0.95


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Nearest-rank percentiles of n values: each one is a value that occurred."""

    n: int
    p50_ms: Milliseconds
    p90_ms: Milliseconds
    p99_ms: Milliseconds
    p999_ms: Milliseconds
    max_ms: Milliseconds


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """How many ended in one way without an answer."""

    ending: str
    reason: str
    count: int


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Counts, rates and latencies of some of a run's requests.

    Attributes:
        errors: admitted that ended in a fault (failed, timeout, missing, unsent).
        degraded: answered with candidates left unscored, or at a lower step.
        in_time: answered within budget, degraded ones too.
        violations: admitted and not answered within budget.
        goodput_per_s: answers with every candidate scored, within budget.
        degraded_goodput_per_s: the other answers within budget.
        latency: done - intended of the admitted, +inf when never answered: the headline.
        service: done - sent of the answered.
        server: arrival to reply by the server's own clock, of the answered.
        refusal: done - intended of the requests that were not admitted.
        send_lag: sent - intended of all that was sent.
        tail: the slo's percentile of `latency`.
        spectrum: [share, latency] pairs, for a curve.
    """

    scheduled: int
    admitted: int
    answered: int
    in_time: int
    degraded: int
    unsent: int
    errors: int
    violations: int
    offered_per_s: float
    answered_per_s: float
    goodput_per_s: float
    degraded_goodput_per_s: float
    latency: Percentiles
    service: Percentiles
    server: Percentiles
    refusal: Percentiles
    send_lag: Percentiles
    tail: Tail
    spectrum: list[tuple[float, Milliseconds]]
    refused: list[Refused]


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """Where nDCG@k went; the four add up to `reference - perceived` over the same requests.

    Attributes:
        requests: those whose message the idle server was asked about.
        reference: of the order of the unquantised variant on an idle server.
        quantisation: reference - the served variant's order on an idle server.
        degradation: that - the order returned, where it came in time.
        lateness: that - the prior's order, where an admitted request was late or never answered.
        refusal: the same, where it was refused.
    """

    requests: int
    reference: float
    perceived: float
    quantisation: float
    degradation: float
    lateness: float
    refusal: float


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Measures of the ranking over all scheduled requests that have a relevant candidate.

    Attributes:
        perceived: mean nDCG@k of what the user saw: the returned order when it came within budget, else the
            prior's.
        perceived_low, perceived_high: its 95 % bootstrap interval.
        prior: of the prior order, had there been no server.
        mrr: mean reciprocal rank of the same orders.
        overlap: mean top-k overlap of the answers in time with the unquantised order; None without a
        reference.
        coverage: scored candidates in time / candidates scheduled.
        weighted_goodput_per_s: answers in budget, each weighted by nDCG / nDCG of the unquantised order (of
        the
            ideal order without a reference).
        degraded_weighted_goodput_per_s: the part of it that came degraded.
    """

    k: int
    requests: int
    perceived: float
    perceived_low: float
    perceived_high: float
    prior: float
    mrr: float
    overlap: float | None
    coverage: float
    weighted_goodput_per_s: float
    degraded_weighted_goodput_per_s: float
    losses: Losses | None


class Determinism(msgspec.Struct, frozen=True, kw_only=True):
    """The same request, alone and under load.

    Attributes:
        compared: sampled full answers of a message that the idle server was asked about.
        flipped: those whose order differs.
        score_delta_max: largest difference of a score, in units of the scores' standard deviation.
    """

    compared: int
    flipped: int
    score_delta_max: float


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """One question to ourselves: was it the server that was measured?

    Attributes:
        name: what was looked at.
        value, limit: in `unit`; tripped when value > limit.
        says: why it matters, one clause.
    """

    name: str
    value: float
    limit: float
    unit: str
    says: str

    @property
    def tripped(self) -> bool:
        """True when the measurement does not count."""
        return not self.value <= self.limit


class PhaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """One phase, judged on its own.

    Attributes:
        load: mean planned, in multiples of the scenario's rate; 0 for a closed loop.
        starts_s, duration_s: from the run's start; without what was discarded.
        discarded_s: cut from its beginning as a warm-up that was not over (MSER-5).
        judgement: None when the phase is not measured.
    """

    name: str
    load: float
    starts_s: float
    duration_s: float
    discarded_s: float
    numbers: Numbers
    quality: Quality | None
    guards: list[Guard]
    judgement: Judgement | None

    @property
    def counts(self) -> bool:
        """It was measured, and it was the server that was measured."""
        return self.judgement is not None and self.judgement.verdict is not Verdict.INVALID


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the measured requests: a class of the mix, or a decile of the candidate counts."""

    name: str
    candidates_least: int
    candidates_most: int
    numbers: Numbers
    quality: Quality | None


class Anatomy(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of the late answers went, as mean shares of their latency.

    Attributes:
        late: answered after the budget; the shares are over these.
        shares: by stage, adding up to 1: "client lag", the server's stages, "server, other", and "outside"
            (network, gRPC on both sides).
    """

    late: int
    shares: dict[str, float]


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """After a phase of more load: how long until goodput was back.

    Attributes:
        share_before: fully scored within budget, in the nearest phase before of at most 2/3 of the load; 1
            where there is none.
        seconds: from the end of the overload to the end of the last half second in which significantly less
            than 95 % of that share were; 0 = at once; None = not within the phase.
    """

    after: str
    phase: str
    share_before: float
    seconds: float | None


class ServerSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The server's own account, from its metrics page, of the measured time.

    Attributes:
        p99_low_ms, p99_high_ms: edges of the histogram bucket that holds its p99; high None = the last
        bucket.
        answered: requests that it counted.
        gap: why the client's number differs, one sentence.
    """

    p99_low_ms: float
    p99_high_ms: float | None
    answered: int
    gap: str


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What one client process can do on this machine, against a server that does nothing.

    Attributes:
        ceiling_per_s: closed loop.
        judged_per_s_max: the highest open-loop rate at which no guard tripped, at most 70 % of the ceiling.
        lag_p99_ms: [rate, p99 send lag] pairs of the steps.
        request_bytes, candidates: what was sent, and how many the answers ranked.
        key: of machine, versions and request size; a calibration counts only for its own key.
    """

    created: str
    key: str
    ceiling_per_s: float
    judged_per_s_max: float
    lag_p99_ms: list[tuple[float, float]]
    request_bytes: int
    candidates: int


class ClientSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the client says about itself. Per process: cores, CPU time / wall time, event-loop lag."""

    processes: int
    cores: list[list[int]]
    cpu: list[float]
    loop_lag_p99_ms: list[float]
    judged_per_s_max: float | None
    calibrated: str
    """When; "" = not calibrated: then the guards alone decide."""


class WorkloadFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent. `bytes_median` and candidates per message; sha256 of the messages as sent."""

    requests: str
    messages: int
    sent_messages: int
    candidates_least: int
    candidates_median: int
    candidates_most: int
    bytes_median: int
    sha256: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The result.

    Attributes:
        judgement: the worst of the measured phases'.
        summary, quality: over all measured phases that count together; over all measured ones when none does.
        looks: how many times the phases were run and pooled.
        schedule_sha256: of instants, messages and classes: equal means the same requests at the same times.
        interrupted_after_s: None = it ran to its end.
        notes: what a reader should know before believing a number; one sentence each.
    """

    schema: Literal["podium-loadtest"] = "podium-loadtest"
    schema_version: Literal[2] = 2
    created: str
    scenario: Scenario
    judgement: Judgement
    summary: Numbers
    quality: Quality | None
    determinism: Determinism | None
    phases: list[PhaseResult]
    classes: list[Slice]
    deciles: list[Slice]
    anatomy: Anatomy
    recoveries: list[Recovery]
    server: ServerSeen | None
    client: ClientSeen
    workload: WorkloadFacts
    looks: int
    schedule_sha256: str
    interrupted_after_s: float | None
    notes: list[str]
    environment: dict[str, str]

    @property
    def counts(self) -> bool:
        """Some of it does: then its numbers are numbers."""
        return self.judgement.verdict is not Verdict.INVALID or any(phase.counts for phase in self.phases)

    def encode(self) -> bytes:
        """Indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One second of a run, by intended instants: a line of `windows.csv`."""

    t_s: float
    phase: str
    measured: bool
    offered: int
    answered: int
    in_time: int
    refused: int
    errors: int
    p50_ms: Milliseconds
    p99_ms: Milliseconds
    max_ms: Milliseconds
    perceived_ndcg: float | None
