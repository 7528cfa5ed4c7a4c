"""What a run was told to do."""

from __future__ import annotations

import msgspec

DEADLINE_S_MIN = 1.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One load level.

    Attributes:
        target: host:port.
        requests: path of the request set.
        model: replaces the messages' own model; "" = theirs.
        rate_per_s: offered, Poisson.
        duration_s: measured time, after warm_up_s of the same load that is sent but not judged.
        budget_ms: what an answer may take from the instant it should have been sent.
        percentile: share of admitted requests that must keep the budget.
        confidence: of the verdict.
        connections: per process.
        labels: path of the request set's labels; "" = no measure of quality.
    """

    target: str
    requests: str
    rate_per_s: float
    duration_s: float
    budget_ms: float
    model: str = ""
    warm_up_s: float = 2.0
    seed: int = 0
    percentile: float = 0.99
    confidence: float = 0.99
    connections: int = 2
    processes: int = 1
    labels: str = ""

    def __post_init__(self) -> None:
        for name in ("rate_per_s", "duration_s", "budget_ms", "connections", "processes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.warm_up_s < 0 or self.seed < 0:
            raise ValueError("warm_up_s and seed must be 0 or more")
        for name in ("percentile", "confidence"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")

    @property
    def deadline_s(self) -> float:
        """The RPC's deadline: long beside the budget, or the client would cut the tail that it measures."""
        return max(4 * self.budget_ms / 1e3, DEADLINE_S_MIN)
