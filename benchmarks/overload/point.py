"""One measured point: a stretch of load folded to the figures that the tables show."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from benchmarks.overload.load import Offer, Stretch
from benchmarks.overload.workloads import Workload
from loadtest.fold.totals import fully_scored, kept_budget, latencies_ms
from loadtest.records import NEVER_NS, NOT_ADMITTED
from loadtest.result import Milliseconds, Numbers

REFUSAL_MS_MAX: Final = 5.0
TOO_SHORT: Final = "DEADLINE_TOO_SHORT"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one stretch.

    Attributes:
        load: offered, in multiples of the measured capacity.
        goodput_per_s: fully scored in budget.
        goodput_rows_per_s: candidates of those answers: a server that takes the small requests only answers
            many and scores few.
        y: the share of capacity that refusals leave at this load.
        capacity_per_s, capacity_rows_per_s: measured at saturation.
        law_rows_per_s: C(D) in candidates.
        expired, too_short: admitted and given up at the deadline; never admitted, as too little time was left
            even for an idle server. The load test's verdict holds both against the server.
        core: share of the core that the server used; None = not read.
        ended: [how, why, count] of what was not answered.
    """

    workload: str
    door: str
    load: float
    budget_ms: float
    scheduled: int
    admitted: int
    offered_per_s: float
    verdict: str
    sentence: str
    p50_ms: Milliseconds
    p99_ms: Milliseconds
    p99_low_ms: Milliseconds
    p99_high_ms: Milliseconds
    goodput_per_s: float
    goodput_rows_per_s: float
    y: float
    capacity_per_s: float
    capacity_rows_per_s: float
    law_rows_per_s: float
    refused: int
    expired: int
    too_short: int
    refusal_p50_ms: Milliseconds
    refusal_p99_ms: Milliseconds
    core: float | None
    ended: list[tuple[str, str, int]]

    @property
    def ratio(self) -> float:
        """Goodput over what it could be."""
        whole = self.y * self.capacity_per_s
        return self.goodput_per_s / whole if whole else float("nan")

    @property
    def work_ratio(self) -> float:
        """The same, counted in candidates."""
        whole = self.y * self.capacity_rows_per_s
        return self.goodput_rows_per_s / whole if whole else float("nan")

    @property
    def law_ratio(self) -> float:
        """Candidates scored in budget over what C(D) and refusals leave, however capacity was measured."""
        whole = self.y * self.law_rows_per_s
        return self.goodput_rows_per_s / whole if whole else float("nan")

    @property
    def refusal_ms_max(self) -> float:
        """p99 that a refusal may take."""
        return min(REFUSAL_MS_MAX, self.budget_ms / 2)


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What loads are multiples of.

    Attributes:
        per_s, rows_per_s: goodput at saturation, in requests and in candidates.
        law_rows_per_s: C(D) in candidates.
        refusal_ratio: r / s.
    """

    per_s: float
    rows_per_s: float
    law_rows_per_s: float
    refusal_ratio: float


def point(work: Workload, offer: Offer, stretch: Stretch, reference: Reference, y: float) -> Point:
    """Fold a stretch.

    Args:
        y: of the load, see `law.goodput_share`.
    """
    phase = stretch.outcome.run.phases[-1]
    numbers, judged = phase.numbers, phase.judgement
    assert judged is not None
    records = stretch.outcome.evidence.records
    starts_ns = round(phase.starts_s * 1e9)
    records = records.where((records.rows["phase"] == 1) & (records.rows["intended_ns"] >= starts_ns))
    good = kept_budget(records, latencies_ms(records), [work.budget_ms]) & fully_scored(records)
    refused = records.ended(*NOT_ADMITTED) & (records.rows["done_ns"] != NEVER_NS)
    return Point(
        workload=work.name,
        door="stream" if offer.transport == "stream" else "unary",
        load=offer.rate_per_s / reference.per_s,
        budget_ms=work.budget_ms,
        scheduled=numbers.scheduled,
        admitted=numbers.admitted,
        offered_per_s=numbers.offered_per_s,
        verdict=judged.verdict.name,
        sentence=judged.sentence,
        p50_ms=numbers.latency.p50_ms,
        p99_ms=numbers.tail.value_ms,
        p99_low_ms=numbers.tail.low_ms,
        p99_high_ms=numbers.tail.high_ms,
        goodput_per_s=numbers.goodput_per_s,
        goodput_rows_per_s=float(records.rows["candidates"][good].sum()) / phase.duration_s,
        y=y,
        capacity_per_s=reference.per_s,
        capacity_rows_per_s=reference.rows_per_s,
        law_rows_per_s=reference.law_rows_per_s,
        refused=int(np.count_nonzero(refused)),
        expired=_expired(numbers) - _expired(numbers, TOO_SHORT),
        too_short=_expired(numbers, TOO_SHORT),
        refusal_p50_ms=numbers.refusal.p50_ms,
        refusal_p99_ms=numbers.refusal.p99_ms,
        core=stretch.spent.cpu_s / stretch.spent.wall_s if stretch.spent else None,
        ended=[(one.ending, one.reason, one.count) for one in numbers.refused],
    )


def _expired(numbers: Numbers, reason: str = "") -> int:
    """How many ended in this way; any reason, or one."""
    return sum(one.count for one in numbers.refused if one.ending == "expired" and reason in ("", one.reason))
