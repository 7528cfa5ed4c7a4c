"""`benchmarks.overload.table` and `figure`: what they show, and what counts as missed."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import msgspec
import pytest

from benchmarks.overload import figure, table
from benchmarks.overload.fifo import DELAYS_MS, FINALISTS, Trial, best, grid
from benchmarks.overload.idle import Idle
from benchmarks.overload.point import Point
from benchmarks.overload.stalls import Stall

POINT = Point(
    workload="overload",
    door="unary",
    load=2.0,
    budget_ms=25.0,
    scheduled=20_000,
    admitted=10_000,
    offered_per_s=400.0,
    verdict="PASS",
    sentence="1 of 10,000 admitted requests broke the budget",
    p50_ms=14.0,
    p99_ms=22.0,
    p99_low_ms=21.5,
    p99_high_ms=22.5,
    goodput_per_s=188.0,
    goodput_rows_per_s=50_000.0,
    y=0.97,
    capacity_per_s=200.0,
    capacity_rows_per_s=54_000.0,
    law_rows_per_s=57_000.0,
    refused=10_000,
    expired=0,
    too_short=0,
    refusal_p50_ms=0.4,
    refusal_p99_ms=2.0,
    core=1.0,
    ended=[("overloaded", "OVERLOADED", 10_000)],
)


def changed(**fields: object) -> Point:
    """The point with other figures."""
    return msgspec.structs.replace(POINT, **fields)


def test_every_row_has_every_column() -> None:
    """A table is a rectangle, also with times that are not known."""
    lines = table.points([POINT, changed(p99_ms="inf", p99_high_ms=None, core=None)]).splitlines()
    assert {lines[0].count("|")} == {line.count("|") for line in lines}
    assert "∞" in lines[3]


def test_goodput_is_measured_against_what_refusals_leave() -> None:
    """188 of 0.97 x 200."""
    assert POINT.ratio == pytest.approx(188 / 194)
    assert POINT.work_ratio == pytest.approx(50_000 / (0.97 * 54_000))
    assert POINT.law_ratio == pytest.approx(50_000 / (0.97 * 57_000))


def test_a_good_point_misses_nothing() -> None:
    """PASS, enough goodput, quick refusals."""
    assert [] == table.missed([POINT])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"verdict": "FAIL"}, "FAIL"),
        ({"goodput_per_s": 180.0}, "goodput"),
        ({"y": 0.0}, "clients must throttle"),
        ({"refusal_p99_ms": 5.1}, "refusals' p99 is 5.10 ms, at most 5"),
        ({"refusal_p99_ms": "inf"}, "never came"),
        ({"budget_ms": 8.0, "refusal_p99_ms": 4.1}, "at most 4"),
    ],
)
def test_what_a_point_must_give(fields: dict[str, object], said: str) -> None:
    """Each must is missed by itself, and said."""
    (sentence,) = table.missed([changed(**fields)])
    assert said in sentence


def test_goodput_has_a_must_from_twice_capacity_on() -> None:
    """Below, the arrivals' own bunching takes its part."""
    assert [] == table.missed([changed(load=1.2, goodput_per_s=100.0)])


def test_podium_stands_beside_the_baseline_at_the_same_load() -> None:
    """Loads that only one of them has are left out."""
    text = table.beside([POINT, changed(load=3.0)], [changed(goodput_per_s=94.0)])
    assert 3 == len(text.splitlines())
    assert "| 2.00 |" in text


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.99, 1.04, "PASS"), (1.06, 1.1, "FAIL"), (1.0, 1.06, "INCONCLUSIVE")],
)
def test_idle_is_decided_by_the_interval(low: float, high: float, verdict: str) -> None:
    """5 % must lie outside of it, on one side or the other."""
    found = Idle(workload="bench", candidates=20, plan_us=[1.0], off_us=[1.0], low=low, ratio=1.0, high=high)
    assert verdict == found.verdict


def stall(**fields: object) -> Stall:
    """A stall from which a server came back in time."""
    good = Stall(
        kind="made",
        silent_s=2.0,
        waiting=100,
        told_late=0,
        untold=0,
        worst_ms=1.0,
        limit_ms=5.0,
        inside={},
        before=1.0,
        back_s=0.4,
        endings={"OVERLOADED": 100},
    )
    return msgspec.structs.replace(good, **fields)


@pytest.mark.parametrize("fields", [{"told_late": 1}, {"untold": 1}, {"back_s": None}, {"back_s": 1.1}])
def test_a_stall_is_passed_by_everybody_told_and_goodput_back(fields: dict[str, object]) -> None:
    """Each alone is enough to fail."""
    assert stall().passed
    assert not stall(**fields).passed


def test_the_baseline_is_the_best_of_the_finals() -> None:
    """A lucky short run does not decide."""
    settings = grid(25.0)
    lucky = Trial(setting=settings[0], goodput_per_s=999.0)
    count = FINALISTS * len(DELAYS_MS)
    finals = [Trial(setting=settings[1 + at], goodput_per_s=float(at)) for at in range(count)]
    assert settings[count] == best([lucky, *finals])


def test_the_grid_holds_every_combination_once() -> None:
    """No setting twice, and a coarse grid is part of it."""
    words = [one.words for one in grid(25.0)]
    assert len(set(words)) == len(words)
    assert set(words) > {one.words for one in grid(25.0, coarse=True)}


def test_the_figure_is_a_figure_with_every_point() -> None:
    """Well-formed, one dot per point and panel, drawn also where p99 never came."""
    plan = [changed(load=0.5), POINT, changed(door="stream"), changed(load=5.0, p99_ms="inf")]
    drawn = figure.svg(plan, [changed(goodput_per_s=90.0)], 0.03)
    root = ET.fromstring(drawn)
    assert 2 * 5 == len([part for part in root if part.tag.endswith("circle")])
    assert "FIFO at its best" in drawn
