"""The run as it goes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from loadtest.live import Live, standing
from loadtest.plan import Plan, prepare
from loadtest.records import ENDINGS
from loadtest.scenario.form import Scenario
from tests.unit.loadtest.test_assess import MS, look
from tests.unit.loadtest.test_plan import scenario as _scenario

scenario = _scenario


@pytest.fixture
def plan(scenario: Scenario) -> Plan:
    """A hundred requests a second for two seconds."""
    return prepare(scenario, lambda size, target: None)


def rows_of(plan: Plan, now_ns: int) -> np.ndarray:
    """What the records hold at an instant, when every answer takes 5 ms."""
    rows = look(plan.scenario)
    rows["done_ns"] = rows["sent_ns"] + 5 * MS
    yet = rows["sent_ns"] > now_ns
    rows["sent_ns"][yet], rows["ending"][yet] = -1, ENDINGS.index("unsent")
    open_ = rows["done_ns"] > now_ns
    rows["done_ns"][open_] = -1
    rows["ending"][open_ & ~yet] = ENDINGS.index("missing")
    return rows


def test_standing_is_folded_from_the_records(plan: Plan) -> None:
    """Rates of the last second, what is in flight, percentiles and shares so far."""
    now_ns = 1_500_000_000
    rows = rows_of(plan, now_ns)
    found = standing(plan, rows, 1.5)
    due = int((rows["intended_ns"] <= now_ns).sum())
    open_ = int((rows["ending"] == ENDINGS.index("missing")).sum())
    assert ("p", 1.5, open_) == (found.phase, found.at_s, found.in_flight)
    assert found.offered_per_s == pytest.approx(100, abs=30)
    assert found.achieved_per_s == pytest.approx(found.offered_per_s, abs=3)
    assert found.p50_ms == pytest.approx(5.0)
    assert (0.0, 0.0) == (found.violations, found.refused)

    refused = np.flatnonzero(rows["ending"] == ENDINGS.index("answered"))[:10]
    rows["ending"][refused] = ENDINGS.index("overloaded")
    rows["done_ns"][refused[0] + 20] = rows["sent_ns"][refused[0] + 20] + 300 * MS
    again = standing(plan, rows, 1.5)
    assert again.refused == pytest.approx(10 / (due - open_))
    assert again.violations == pytest.approx(1 / (due - open_ - 10))


def test_where_nobody_sits_at_a_terminal_there_are_plain_lines(plan: Plan) -> None:
    """One every few seconds, none in the first; no control codes."""
    said = io.StringIO()
    shown = Live(Console(file=said, width=200))
    shown.asking(0.5)
    shown.begins(plan, rows_of(plan, 1_900_000_000))
    for now_s in np.arange(0.0, 12.0, 0.1):
        shown.look(float(now_s))
    shown.ends()
    lines = said.getvalue().splitlines()
    assert 2 == len(lines)
    assert all("offered" in line and "send lag p99" in line for line in lines)
    assert "\x1b" not in said.getvalue()


def test_on_a_terminal_there_is_a_table(plan: Plan) -> None:
    """With every column that was asked for, and it is gone afterwards."""
    said = io.StringIO()
    shown = Live(Console(file=said, width=200, force_terminal=True))
    shown.asking(0.5)
    shown.begins(plan, rows_of(plan, 1_000_000_000))
    shown.look(1.0)
    shown.ends()
    for column in ("offered", "achieved", "in flight", "p50", "p99", "violations", "refused", "send lag p99"):
        assert column in said.getvalue()
