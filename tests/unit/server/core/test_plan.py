"""The plan: who is taken along, and that nobody behind pays for it."""

from __future__ import annotations

from server.core.cost import CostModel
from server.core.decisions import Lane, Part, Ticket
from server.core.line import Line
from server.core.margin import Margin
from server.core.plan import Plan
from server.core.planned_run import Terms

MS = 1_000_000
FAST, SLOW = Lane("a", 1, "int8"), Lane("a", 1, "fp32")


def terms(run_ms: float, row_us: float, ratios: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Terms:
    line = Line(run_ms * MS, 0.0, row_us * 1000, per_request=False)
    return Terms(CostModel(line, list(ratios)), Margin(25 * MS, 0))


def whole(n: int, due_ms: float, rows: int = 100, lane: Lane = FAST) -> Part:
    return Part(Ticket(n, lane, rows, 0, int(due_ms * MS)), 0, rows, rows)


def place(plan: Plan, part: Part, lane: Terms) -> bool:
    return plan.place([part], lane, [0], 0)


def planned(plan: Plan) -> list[list[int]]:
    return [[part.ticket.id for part in run.parts] for run in plan.runs]


def test_company_that_has_become_possible_is_taken_along() -> None:
    """Two whom rows_max kept apart from a third are joined by the next when the third is gone."""
    plan, fast = Plan(250, 8), terms(1, 10)
    for part in (whole(1, 50), whole(2, 50, 200), whole(3, 50, 50)):
        assert place(plan, part, fast)
    assert [[1], [2, 3]] == planned(plan)
    plan.remove(plan.runs[1].parts[0].ticket)
    assert [1, 3] == [part.ticket.id for part in plan.next([0], 0).parts]
    assert [] == planned(plan)


def test_nobody_is_taken_along_at_the_cost_of_those_behind() -> None:
    """Large runs are foreseen with three times the caution: 3.5 and 1.5 ms apart, 13.5 ms together. That
    leaves too little for the 17 ms of who is behind, so neither joins the other, now or when it starts."""
    plan, fast, slow = Plan(512, 8), terms(0.5, 10, (1.0, 1.0, 3.0)), terms(17, 0)
    assert place(plan, whole(1, 30, 300), fast)
    assert place(plan, whole(2, 30.2, 1, SLOW), slow)
    assert place(plan, whole(3, 30, 100), fast)
    assert [[1], [3], [2]] == planned(plan)
    assert [1] == [part.ticket.id for part in plan.next([0], 0).parts]
    assert [[3], [2]] == planned(plan)
