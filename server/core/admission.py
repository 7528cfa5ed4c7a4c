"""May it come in? Only if it will finish in time and makes nobody already admitted late.

A fluid test over the plan in deadline order: a ticket's finish is bounded by when an executor frees, plus the
predicted work of everything due no later than it, plus its own. No queue length appears anywhere: limits are
in predicted executor time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.core.cost import CostModel
from server.core.decisions import Admitted, Lane, Rejected, Ticket
from server.errors import Reason


class Plan:
    """Predicted work in deadline order; rows of one lane share runs of at most `rows_max` rows."""

    def __init__(self, costs: Mapping[Lane, CostModel], rows_max: int, executors: int) -> None:
        self._costs = costs
        self._rows_max = rows_max
        self._executors = executors

    def work_ns(self, rows: Mapping[Lane, int]) -> int:
        """Predicted executor time of so many rows per lane, batched as well as they can be."""
        total_ns = 0
        for lane, count in rows.items():
            cost = self._costs[lane]
            runs = -(-count // self._rows_max)
            total_ns += int(cost.ratio * (runs * cost.overhead_ns + count * cost.row_ns))
        return total_ns // self._executors

    def late(self, waiting: Sequence[Ticket], free_ns: int, margin_ns: int) -> bool:
        """Whether any ticket of `waiting` (in deadline order) would finish after its deadline."""
        rows: dict[Lane, int] = {}
        for ticket in waiting:
            rows[ticket.lane] = rows.get(ticket.lane, 0) + ticket.rows
            if free_ns + self.work_ns(rows) + margin_ns > ticket.deadline_ns:
                return True
        return False


def judge(
    ticket: Ticket,
    waiting: Sequence[Ticket],
    plan: Plan,
    *,
    work_ns: int,
    now_ns: int,
    free_ns: int,
    margin_ns: int,
    alone_ns: int,
) -> Admitted | Rejected:
    """Decide on `ticket`, given `waiting` with the ticket already in its place.

    Args:
        work_ns: predicted work of all of `waiting`.
        free_ns: when the first executor is predicted to be free, absolute.
        margin_ns: time kept for what the cost model does not see (the reply's way out).
        alone_ns: predicted time of this ticket alone.
    """
    if now_ns + alone_ns + margin_ns > ticket.deadline_ns:
        return Rejected(Reason.DEADLINE_TOO_SHORT, None, alone_ns + margin_ns)
    end_ns = free_ns + work_ns
    if end_ns + margin_ns <= waiting[0].deadline_ns:
        return Admitted()  # even the tightest deadline outlasts the whole plan: no need to walk it
    if plan.late(waiting, free_ns, margin_ns):
        # Room comes when the plan has shrunk by what this ticket lacked.
        wait_ns = max(end_ns + margin_ns - ticket.deadline_ns, alone_ns)
        return Rejected(Reason.OVERLOADED, wait_ns, alone_ns + margin_ns)
    return Admitted()
