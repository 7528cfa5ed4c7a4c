"""The scenario's form: typed, frozen, strict. Unknown keys are refused with their path.

Loads are multiples of `rate_per_s`, so that one file describes a shape and one number its size: with
`rate_per_s` set to a server's capacity, `load = 2.0` is twice what it can serve.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

FORMAT: Final = 1
DEADLINE_S_MIN: Final = 1.0
"""Of the RPC, beside 4 budgets: a short one would cut the very tail that is measured."""

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(gt=0, lt=1)]


Transport = Literal["http2", "grpcio", "stream"]
DOORS: Final[dict[Transport, str]] = {
    "http2": "Rank, by our own client",
    "grpcio": "Rank, by grpcio's client",
    "stream": "RankStream, by our own client",
}
"""Each transport in words: the method, and who calls it."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is asked.

    Attributes:
        kind: "rank" = a server of podium.v1.Ranker; "null" = our own server that does nothing, started for
            the run, to see what the client itself costs.
        address: host:port; "" = must be given with --target (or kind = "null").
        transport: "http2" = `Rank` by our own client, which takes little time between the plan and the
            socket; "stream" = `RankStream` by the same client, one stream per connection; "grpcio" = `Rank`
            by grpcio's client, for a second opinion.
        connections: TCP connections per client process.
        metrics_url: of the server's Prometheus page; "" = not scraped.
    """

    kind: Literal["rank", "null"] = "rank"
    address: str = ""
    transport: Transport = "http2"
    connections: Annotated[int, Meta(ge=1, le=64)] = 2
    metrics_url: str = ""


class Slo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the server promises.

    Attributes:
        budget_ms: what an answer may take, from the instant at which it should have been sent; 0 = the
            bundle's own.
        percentile: per cent of the admitted requests that must keep the budget.
        confidence: of the verdict.
        error_ratio_max: share of the admitted that may end in a fault (failed, timeout, missing).
        looks_max: how often an INCONCLUSIVE run may be extended; each look is judged at
            (1 - confidence) / looks_max.
    """

    budget_ms: NotNegative = 0.0
    percentile: Annotated[float, Meta(gt=0, lt=100)] = 99.0
    confidence: Share = 0.99
    error_ratio_max: Annotated[float, Meta(ge=0, le=1)] = 0.001
    looks_max: Annotated[int, Meta(ge=1, le=10)] = 1


# --- what is sent ---


class Values(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="dist", tag="values", kw_only=True
):
    """Candidate counts: equally likely values (a table of quantiles of a discrete distribution)."""

    values: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1)]
    source: str = ""


class Quantiles(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="dist", tag="quantiles", kw_only=True
):
    """Candidate counts: [share, count] pairs from share 0 to 1, straight lines between them."""

    points: Annotated[tuple[tuple[float, float], ...], Meta(min_length=2)]
    source: str = ""

    def __post_init__(self) -> None:
        shares = [share for share, _ in self.points]
        if shares[0] != 0 or shares[-1] != 1 or sorted(set(shares)) != shares:
            raise ValueError("shares must rise from 0 to 1")
        counts = [count for _, count in self.points]
        if counts[0] < 1 or sorted(counts) != counts:
            raise ValueError("counts must not fall, and begin at 1 or more")


class LogNormal(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="dist", tag="lognormal", kw_only=True
):
    """Candidate counts: median * exp(sigma * normal), clipped to [least, most]."""

    median: Positive
    sigma: NotNegative
    least: Annotated[int, Meta(ge=1)] = 1
    most: Annotated[int, Meta(ge=1)] = 4096


Candidates = Values | Quantiles | LogNormal


class Shuffle(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="shuffle", kw_only=True
):
    """Passes over all messages, each in a new order: every message equally often (±1)."""


class Sequential(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="sequential", kw_only=True
):
    """Passes over all messages in file order."""


class Unique(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="unique", kw_only=True
):
    """No message twice: nothing can be answered from a cache. Refused when there are too few messages."""


class Same(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="same", kw_only=True
):
    """The first message always: beside `unique` it shows what a cache does (MLPerf's TEST04)."""


class Zipf(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="zipf", kw_only=True
):
    """Popularity: the k-th most popular message with probability proportional to 1 / k**s."""

    s: Positive = 1.1


Order = Shuffle | Sequential | Unique | Same | Zipf


class Class(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of request in the mix.

    Attributes:
        weight: its share of the arrivals, relative to the other classes.
        model: replaces the messages' own; "" = the workload's.
        budget_ms: 0 = the slo's.
        candidates: rewrite the messages to these candidate counts; None = as they are.
    """

    name: str = "all"
    weight: Positive = 1.0
    model: str = ""
    budget_ms: NotNegative = 0.0
    importance: Literal["", "critical", "default", "sheddable"] = ""
    candidates: Candidates | None = None


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is sent.

    Attributes:
        bundle: folder of an exported model version: its request set, labels, name and budget.
        requests: path of a request set; "" = the bundle's.
        labels: path of its labels; "" = the bundle's, or none.
        model: replaces the messages' own model; "" = theirs.
        messages_max: how many messages of the set are used; 0 = all.
        seed: same seed, same schedule, for every target.
    """

    bundle: str = ""
    requests: str = ""
    labels: str = ""
    model: str = ""
    messages_max: Annotated[int, Meta(ge=0)] = 0
    order: Order = Shuffle()
    mix: Annotated[tuple[Class, ...], Meta(min_length=1, max_length=255)] = (Class(),)
    seed: Annotated[int, Meta(ge=0)] = 0


# --- when it is sent ---


class Constant(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="constant", kw_only=True
):
    """Evenly spaced."""

    load: Positive = 1.0


class Poisson(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="poisson", kw_only=True
):
    """Independent users at a constant rate."""

    load: Positive = 1.0


class Gamma(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="gamma", kw_only=True
):
    """Gaps of a gamma distribution with coefficient of variation `cv`: 1 is Poisson, above 1 is burstier."""

    load: Positive = 1.0
    cv: Positive = 2.0


class OnOff(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="onoff", kw_only=True
):
    """Markov-modulated Poisson: loads in turn, each for an exponential time with that mean."""

    loads: Annotated[tuple[NotNegative, ...], Meta(min_length=2)]
    dwell_s: Annotated[tuple[Positive, ...], Meta(min_length=2)]

    def __post_init__(self) -> None:
        if len(self.loads) != len(self.dwell_s):
            raise ValueError("loads and dwell_s must have one length")
        if not any(self.loads):
            raise ValueError("loads must not all be 0")


class Profile(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="profile", kw_only=True
):
    """Poisson with a changing rate, through these loads at equal distances, straight lines between them.

    Ramp: two values. A day: its 24 hours, and the first again.
    """

    loads: Annotated[tuple[NotNegative, ...], Meta(min_length=2)]
    source: str = ""

    def __post_init__(self) -> None:
        if not any(self.loads):
            raise ValueError("loads must not all be 0")


class Sine(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="sine", kw_only=True
):
    """Poisson with rate load * (1 + amplitude * sin(2 pi t / period_s))."""

    load: Positive = 1.0
    amplitude: Annotated[float, Meta(ge=0, le=1)] = 0.5
    period_s: Positive


class Trace(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="trace", kw_only=True
):
    """Recorded arrivals: a text file with one instant in milliseconds per line; `speed` 2 plays it twice as
    fast."""

    path: str
    speed: Positive = 1.0


class Closed(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="process", tag="closed", kw_only=True
):
    """So many callers, each waiting for its answer before it asks again.

    For finding a ceiling. Its latencies are not comparable with those of open-loop arrivals, whose users do
    not wait for one another (Schroeder et al., "Open versus closed", NSDI 2006).
    """

    in_flight: Annotated[int, Meta(ge=1, le=4096)]
    think_ms: NotNegative = 0.0


Arrivals = Constant | Poisson | Gamma | OnOff | Profile | Sine | Trace | Closed


class Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A stretch of the run with one pattern of arrivals, judged on its own.

    Attributes:
        measure: False = sent, recorded, not judged (warm-up).
        drain: leave a gap of one RPC deadline after it, so that the next phase begins on an idle server.
    """

    name: str
    duration_s: Positive
    arrivals: Arrivals = Poisson()
    measure: bool = True
    drain: bool = False


# --- how it is measured ---


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Our own side.

    Attributes:
        processes: 0 = as many as the calibration says the highest rate needs; without one, 1.
        cores: CPU ids for them, in turn; empty = the last usable ones, one each; with pin = False nothing is
        pinned.
        in_flight_max: per process; what would exceed it stays unsent, on record, and voids the run.
        throttle: each process is a caller with podium.client's throttle: what it does not send ends as a
        refusal, THROTTLED_BY_CLIENT.
    """

    processes: Annotated[int, Meta(ge=0, le=64)] = 0
    cores: tuple[Annotated[int, Meta(ge=0)], ...] = ()
    pin: bool = True
    in_flight_max: Annotated[int, Meta(ge=1)] = 8192
    throttle: bool = False


class Quality(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Measures of the ranking under load.

    Attributes:
        k: of nDCG@k, MRR@k and overlap@k.
        sample: share of the answers that are kept whole, to compare scores with those of an idle server.
        reference: ask the idle server first, once per message: with the default variant, and with `against`.
        against: the variant whose order counts as unquantised.
        reference_messages_max: how many messages are asked about at most.
    """

    k: Annotated[int, Meta(ge=1, le=10)] = 10
    sample: Annotated[float, Meta(ge=0, le=1)] = 0.1
    reference: bool = True
    against: str = "fp32"
    reference_messages_max: Annotated[int, Meta(ge=0)] = 2000


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the client, not the server, was measured: beyond any of these a phase is INVALID.

    Attributes:
        send_lag_p99_ms: 0 = max(0.5, 2 % of the budget).
        late_sends_ratio: share of the sends that may leave more than 1 ms late.
        client_cpu: of a core, per process.
        steal: share of the machine's time that its host may take away.
        offered_ratio: how far the rate sent may lie from the rate planned.
        arrivals_ks: Kolmogorov-Smirnov distance between planned gaps and those sent.
        littles_law: |L - lambda W| / L.
    """

    send_lag_p99_ms: NotNegative = 0.0
    late_sends_ratio: NotNegative = 0.01
    client_cpu: NotNegative = 0.8
    steal: NotNegative = 0.02
    offered_ratio: NotNegative = 0.01
    arrivals_ks: NotNegative = 0.05
    littles_law: NotNegative = 0.05


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `--gate` asks beside the budget's verdict; None = not asked.

    Attributes:
        refused_ratio_max: of the scheduled requests.
        ndcg_loss_max: of the order that an idle, unquantised server gives.
        goodput_ratio_min: fully scored answers in budget / scheduled requests.
    """

    refused_ratio_max: Annotated[float, Meta(ge=0, le=1)] | None = None
    ndcg_loss_max: NotNegative | None = None
    goodput_ratio_min: Annotated[float, Meta(ge=0, le=1)] | None = None


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """For the what-if of a capacity: price of one server, and the share of its capacity that one dares to
    use."""

    usd_per_hour: Positive
    headroom: Annotated[float, Meta(gt=0, le=1)] = 0.7


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One load test.

    Attributes:
        version: of this format.
        rate_per_s: requests per second at load 1; 0 = must be given with --rate.
    """

    version: Literal[1]
    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
    description: str = ""
    rate_per_s: NotNegative = 0.0
    target: Target = Target()
    slo: Slo = Slo()
    workload: Workload = Workload()
    phases: Annotated[tuple[Phase, ...], Meta(min_length=1, max_length=255)]
    client: Client = Client()
    quality: Quality = Quality()
    limits: Limits = Limits()
    gate: Gate = Gate()
    cost: Cost | None = None

    def __post_init__(self) -> None:
        names = [phase.name for phase in self.phases]
        if len(set(names)) != len(names):
            raise ValueError("phases must have different names")
        if not any(phase.measure for phase in self.phases):
            raise ValueError("no phase is measured")
        if any(isinstance(phase.arrivals, Closed) for phase in self.phases) and len(self.phases) > 1:
            raise ValueError(
                "a closed loop must be the only phase: it has no schedule that others could follow"
            )


def deadline_s(budget_ms: float) -> float:
    """The RPC's deadline for requests of this budget."""
    return max(4 * budget_ms / 1e3, DEADLINE_S_MIN)
