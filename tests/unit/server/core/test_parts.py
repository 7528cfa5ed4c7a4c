"""Large requests are cut where their load is halved, whether that is rows or tokens."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.core.cost import CostModel
from server.core.decisions import Admitted, Dispatch, Lane, Rejected, RunTime, Ticket
from server.core.line import Line
from server.core.margin import Margin
from server.core.parts import PARTS_MAX, parts_of
from server.core.planned_run import Terms
from server.core.scheduler import Limits, Scheduler

LANE = Lane("m", 1, "int8")
MS = 1_000_000


def terms(chunk_ms: float | None = 10.0) -> Terms:
    """A token takes 10 µs, a run 0.1 ms beside."""
    chunk_ns = None if chunk_ms is None else round(chunk_ms * MS)
    return Terms(CostModel(Line(100_000, 0, 10_000, False)), Margin(100 * MS, 0), chunk_ns)


def ticket(tokens: list[int], n: int = 1, due_ms: int = 1000) -> Ticket:
    """A request with candidates of these lengths."""
    return Ticket(n, LANE, len(tokens), 0, due_ms * MS, ends=np.cumsum(tokens))


@given(tokens=st.lists(st.integers(1, 400), min_size=1, max_size=300))
def test_parts_cover_a_ticket_once_and_evenly(tokens: list[int]) -> None:
    """In order, without gaps; loads add up; none exceeds its share by more than one candidate."""
    whole = ticket(tokens)
    parts = parts_of(whole, terms())
    assert [0, *accumulate(part.rows for part in parts)][:-1] == [part.start for part in parts]
    assert len(tokens) == sum(part.rows for part in parts)
    assert all(part.rows > 0 for part in parts)
    for part in parts:
        assert sum(tokens[part.start : part.start + part.rows]) == part.load
    pieces = min(-(-terms().cost.predict_ns(1, sum(tokens)) // (10 * MS)), len(tokens), PARTS_MAX)
    assert len(parts) <= pieces
    assert max(part.load for part in parts) <= sum(tokens) / pieces + max(tokens)


def test_long_candidates_are_cut_short_ones_are_not() -> None:
    """The same number of rows: one part of 5 tokens each, several of 50, unless the model cannot be cut."""
    assert 1 == len(parts_of(ticket([5] * 100), terms()))
    assert [(0, 17), (17, 17), (34, 16)] == [
        (part.start, part.rows) for part in parts_of(ticket([22] * 50), terms(5.0))
    ][:3]
    assert 1 == len(parts_of(ticket([50] * 100), terms(None)))


def test_the_plan_counts_tokens() -> None:
    """What is admitted, what a run takes and what is learned go by tokens: rows are the same throughout."""
    scheduler = Scheduler(Limits())
    cost = CostModel(Line(300_000, 0, 10_000, False))
    scheduler.add_lane(LANE, cost, budget_ns=100 * MS)
    assert isinstance(scheduler.offer(ticket([50] * 100, 1, due_ms=40), now_ns=0), Rejected)
    assert isinstance(scheduler.offer(ticket([5] * 100, 2, due_ms=40), now_ns=0), Admitted)
    assert isinstance(scheduler.offer(ticket([6] * 100, 3, due_ms=40), now_ns=0), Admitted)
    dispatch = scheduler.step(0, now_ns=0)
    assert isinstance(dispatch, Dispatch)
    assert [500, 600] == [part.load for part in dispatch.parts]
    assert cost.predict_ns(2, 1100) == dispatch.predicted_ns
    before = cost.expect_ns(1, 1000)
    scheduler.complete(0, RunTime(22 * MS, 22 * MS), now_ns=22 * MS)  # twice the mean
    assert before < cost.expect_ns(1, 1000) < 2 * before
