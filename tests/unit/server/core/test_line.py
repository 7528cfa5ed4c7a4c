"""The line: what a run teaches about overhead, requests and rows."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.line import RESIDUAL_MAX, Line, Point

TRUE = Line(200_000.0, 20_000.0, 2_500.0)
SHAPES = ((1, 1), (1, 512), (1, 64), (8, 64), (1, 256), (16, 512), (4, 128), (1, 16))


def point(requests: int, rows: int, factor: float = 1.0) -> Point:
    return Point(requests, rows, TRUE.mean_ns(requests, rows) * factor)


def test_a_sweep_on_a_line_gives_the_line() -> None:
    """Warm-up points without noise are met within 2 %, at shapes that were not among them, too."""
    line = Line.fitted([point(*shape) for shape in SHAPES])
    for requests, rows in ((1, 100), (5, 500), (25, 500)):
        assert TRUE.mean_ns(requests, rows) == pytest.approx(line.mean_ns(requests, rows), rel=0.02)


def test_requests_cost_nothing_where_there_is_no_context() -> None:
    """`per_request` False: the weight is 0 and stays so."""
    line = Line.fitted(
        [Point(requests, rows, 1e5 + 2e3 * rows) for requests, rows in SHAPES], per_request=False
    )
    line.learn(Point(8, 100, 9e5))
    assert 0.0 == line.request_ns
    assert line.mean_ns(1, 300) == line.mean_ns(9, 300)


def test_no_points_no_line() -> None:
    """A lane that was never measured is refused."""
    with pytest.raises(ValueError, match="at least one measured run"):
        Line.fitted([])


def test_it_follows_a_machine_that_became_slower() -> None:
    """1.3 times as slow from now on: after 300 runs the mean is met within 5 %."""
    rng = random.Random(1)
    line = Line.fitted([point(*shape) for shape in SHAPES])
    for _ in range(300):
        line.learn(point(*rng.choice(SHAPES), 1.3 * rng.lognormvariate(0.0, 0.05)))
    for requests, rows in ((1, 100), (16, 500)):
        assert 1.3 * TRUE.mean_ns(requests, rows) == pytest.approx(line.mean_ns(requests, rows), rel=0.05)


def test_runs_of_one_size_do_not_unteach_the_others() -> None:
    """5,000 runs of one shape, noisy: what is said of a very different shape stays within a quarter."""
    rng = random.Random(2)
    line = Line.fitted([point(*shape) for shape in SHAPES])
    for _ in range(5_000):
        line.learn(point(1, 100, rng.lognormvariate(0.0, 0.2)))
    assert TRUE.mean_ns(16, 512) == pytest.approx(line.mean_ns(16, 512), rel=0.25)


def test_an_odd_run_bends_the_line_no_more_than_the_clip_allows() -> None:
    """A run of 100 times its mean teaches as much as one of 1.5 times."""
    odd, clipped = (Line.fitted([point(*shape) for shape in SHAPES]) for _ in range(2))
    odd.learn(point(1, 100, 100.0))
    clipped.learn(Point(1, 100, clipped.mean_ns(1, 100) * (1 + RESIDUAL_MAX)))
    assert clipped.mean_ns(1, 100) == pytest.approx(odd.mean_ns(1, 100))


@given(
    st.lists(
        st.tuples(st.integers(1, 64), st.integers(1, 4096), st.floats(1.0, 1e10)), min_size=1, max_size=60
    )
)
def test_more_never_costs_less(runs: list[tuple[int, int, float]]) -> None:
    """Whatever was measured, predictions are finite, positive, and grow with requests and rows."""
    line = Line.fitted([Point(*runs[0])])
    for run in runs:
        line.learn(Point(*run))
    assert 0 < line.mean_ns(1, 1) <= line.mean_ns(2, 1) <= line.mean_ns(2, 500) < float("inf")


def test_scaling_scales_everything() -> None:
    """A machine half as fast takes twice as long for everything."""
    line = Line(100_000.0, 10_000.0, 1_000.0)
    line.scale(2.0)
    assert 2 * 130_000.0 == line.mean_ns(2, 10)
