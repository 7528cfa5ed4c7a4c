"""Pressure: offered work over what can be done."""

from __future__ import annotations

import pytest

from server.core.pressure import WINDOW_NS, Pressure

MS = 1_000_000


@pytest.mark.parametrize(("executors", "gap_ms", "expected"), [(1, 10, 0.5), (1, 1, 5.0), (2, 5, 0.5)])
def test_steady_traffic_gives_its_load(executors: int, gap_ms: int, expected: float) -> None:
    """5 ms of work every so often."""
    pressure = Pressure(executors)
    for now_ns in range(0, 10 * WINDOW_NS, gap_ms * MS):
        pressure.add(5 * MS, now_ns)
    assert expected == pytest.approx(pressure.ratio(10 * WINDOW_NS), rel=0.02)


def test_it_is_forgotten() -> None:
    """Ten windows after the last request nothing is left."""
    pressure = Pressure(1)
    pressure.add(500 * MS, 0)
    assert pressure.ratio(10 * WINDOW_NS) < 1e-4
