"""What the shell asks of a scheduler: the plan's, or a baseline's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from server.core.cost import CostModel
from server.core.decisions import (
    Admitted,
    Lane,
    Rejected,
    RunTime,
    Snapshot,
    Step,
    Stuck,
    Ticket,
)
from server.core.planned_run import Terms


class Policy(Protocol):
    """Events and the time go in, decisions come out; see `Scheduler` for what each means."""

    @property
    def terms(self) -> Mapping[Lane, Terms]: ...

    def add_lane(
        self, lane: Lane, cost: CostModel, *, budget_ns: int, chunk_ns: int | None = None
    ) -> None: ...

    def look(self, ticket: Ticket, *, now_ns: int) -> Rejected | None: ...

    def offer(self, ticket: Ticket, *, now_ns: int) -> Admitted | Rejected: ...

    def expire(self, *, now_ns: int) -> tuple[Ticket, ...]: ...

    def step(self, executor: int, *, now_ns: int) -> Step: ...

    def next_expiry_ns(self) -> int | None: ...

    def complete(self, executor: int, run: RunTime | None, *, now_ns: int) -> float | None: ...

    def answered(self, lane: Lane, *, late: int, requests: int) -> None: ...

    def cancel(self, ticket: Ticket) -> bool: ...

    def stuck(self, *, now_ns: int) -> tuple[Stuck, ...]: ...

    def snapshot(self, *, now_ns: int) -> Snapshot: ...
