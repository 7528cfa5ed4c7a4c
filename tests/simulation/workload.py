"""What happens to the scheduler: arrivals, sizes, budgets, cancellations and the machine's true times.

Rule: everything random is drawn here, before the run, from one seed; the run itself only replays it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from server.core.decisions import Lane, Ticket
from server.core.parts import PARTS_MAX

MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One simulated stretch of traffic on a machine that is scripted.

    Attributes:
        load: offered work / what the executors could do in runs of `rows_max` rows.
        noise: sigma of the log-normal factor on true run times; 0 = runs take exactly what the line says.
        stall_share, failure_share: of runs; a stall adds `stall_ns`, a failure ends without scores.
        cancel_share: of requests; each leaves at a random instant within its budget.
        drift: factor on all true run times from the middle of the requests on.
        importances: classes, equally likely; 1 is critical, 3 sheddable.
        chunk_ns: requests whose run would be longer are split; None = none is.
        oracle_ratios: an oracle's caution with small, medium and large runs, which then do take so long.
        early: a run may end sooner by up to this share.
    """

    seed: int
    requests: int = 200
    lanes: int = 1
    executors: int = 1
    arrivals: Literal["poisson", "bursty"] = "poisson"
    load: float = 0.8
    rows: tuple[int, ...] = (20, 100, 500)
    budgets_ns: tuple[int, ...] = (25 * MS,)
    overhead_ns: int = MS // 2
    row_ns: int = 10_000
    noise: float = 0.0
    stall_share: float = 0.0
    stall_ns: int = 100 * MS
    failure_share: float = 0.0
    cancel_share: float = 0.0
    drift: float = 1.0
    importances: tuple[int, ...] = (2,)
    chunk_ns: int | None = None
    rows_max: int = 512
    requests_max: int = 64
    margin_ns: int = MS
    oracle_ratios: tuple[float, float, float] = (1.0, 1.0, 1.0)
    early: float = 0.0

    def line_ns(self, rows: int) -> int:
        """Time of a run of `rows` rows, before noise and stalls."""
        return self.overhead_ns + self.row_ns * rows

    def calm(self) -> Workload:
        """The same traffic on a machine that does exactly what is predicted."""
        return replace(self, noise=0.0, stall_share=0.0, failure_share=0.0, drift=1.0)


@dataclass(frozen=True, slots=True)
class Run:
    """Fate of the n-th run, whoever is in it."""

    factor: float
    stall_ns: int
    fails: bool


@dataclass(frozen=True, slots=True)
class Script:
    """A workload, drawn: tickets in arrival order, when some of them leave, the runs' fates, and when the
    machine changes."""

    lanes: tuple[Lane, ...]
    tickets: tuple[Ticket, ...]
    leaves_ns: dict[int, int]
    runs: tuple[Run, ...]
    drifts_ns: int


def draw(workload: Workload) -> Script:
    """Draw everything random of a workload from its seed."""
    rng = np.random.default_rng(workload.seed)
    lanes = tuple(Lane(f"model-{n}", 1, "int8") for n in range(workload.lanes))
    mean_ns = float(np.mean([rows * workload.row_ns for rows in workload.rows]))
    mean_ns += workload.overhead_ns * float(np.mean(workload.rows)) / workload.rows_max
    gap_ns = mean_ns / (workload.load * workload.executors)
    gaps = rng.exponential(gap_ns, workload.requests)
    if workload.arrivals == "bursty":  # on/off: the same mean rate, ten requests at one instant
        gaps = np.where(np.arange(workload.requests) % 10 == 0, gaps * 10, 0.0)
    at_ns = np.cumsum(gaps).astype(np.int64) + 1
    rows = rng.choice(workload.rows, workload.requests)
    budgets_ns = rng.choice(workload.budgets_ns, workload.requests)
    lane_of = rng.integers(0, workload.lanes, workload.requests)
    importances = rng.choice(workload.importances, workload.requests)
    tickets = tuple(
        Ticket(
            n + 1,
            lanes[int(lane_of[n])],
            int(rows[n]),
            int(at_ns[n]),
            int(at_ns[n] + budgets_ns[n]),
            int(importances[n]),
        )
        for n in range(workload.requests)
    )
    leaving = rng.random(workload.requests) < workload.cancel_share
    after = rng.random(workload.requests)
    leaves_ns = {
        ticket.id: ticket.arrival_ns + int(after[n] * budgets_ns[n])
        for n, ticket in enumerate(tickets)
        if leaving[n]
    }
    most_runs = workload.requests * PARTS_MAX
    factors = np.exp(workload.noise * rng.standard_normal(most_runs))
    factors *= 1.0 - workload.early * np.random.default_rng([workload.seed, 1]).random(most_runs)
    stalls = rng.random(most_runs) < workload.stall_share
    fails = rng.random(most_runs) < workload.failure_share
    runs = tuple(
        Run(float(factors[n]), workload.stall_ns if stalls[n] else 0, bool(fails[n]))
        for n in range(most_runs)
    )
    return Script(lanes, tickets, leaves_ns, runs, int(at_ns[workload.requests // 2]))
