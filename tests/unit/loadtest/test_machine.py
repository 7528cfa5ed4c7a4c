"""Stolen time between two instants."""

from loadtest.machine import Ticks, steal, ticks


def test_steal_is_the_share_between_the_looks_around_a_phase() -> None:
    """What was stolen before or after does not count against it."""
    seen = [Ticks(0, 0, 1000), Ticks(1, 50, 1200), Ticks(2, 60, 1400), Ticks(3, 160, 1600)]
    assert 10 / 200 == steal(seen, 1.0, 2.0)
    assert 160 / 600 == steal(seen, 0.0, 3.0)
    assert 110 / 400 == steal(seen, 1.5, 9.0)


def test_nothing_seen_is_nothing_stolen() -> None:
    """A phase too short for two looks."""
    assert 0.0 == steal([], 0, 1)
    assert 0.0 == steal([Ticks(0, 5, 100)], 0, 1)


def test_the_kernel_s_account_is_read() -> None:
    """It grows, and less is stolen than there is."""
    first, second = ticks(0.0), ticks(1.0)
    assert 0 <= first.stolen <= second.stolen <= second.total
    assert first.total <= second.total
