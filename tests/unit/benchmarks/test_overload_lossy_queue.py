"""`benchmarks.overload.lossy_queue`: hand-made arrivals, and the rates that queueing theory gives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.overload.lossy_queue import fewest, first_come, largest_rate


def floats(*values: float) -> NDArray[np.float64]:
    """As the simulation takes them."""
    return np.array(values, np.float64)


def test_who_cannot_be_done_in_time_is_lost() -> None:
    """Three at once, 4 ms each, 10 ms: the third would end after 12."""
    assert 1 == first_come(floats(0, 0, 0), floats(4, 4, 4), 10.0)


def test_time_that_passes_is_work_done() -> None:
    """The same three fit when the last comes 2 ms later: it ends 10 ms after it came."""
    assert 0 == first_come(floats(0, 0, 2), floats(4, 4, 4), 10.0)


def test_the_largest_makes_room() -> None:
    """A large one waits; two small ones come: first come loses both, the best choice loses the large one."""
    gaps, service = floats(0, 0, 0, 0), floats(1, 9, 4, 4)
    assert 2 == first_come(gaps, service, 10.0)
    assert 1 == fewest(gaps, service, 10.0)


def test_who_has_begun_is_not_given_up() -> None:
    """The large one runs already: nobody who comes later can take its place."""
    assert 1 == fewest(floats(0, 1), floats(9, 4), 10.0)


def test_the_line_moves_while_nobody_comes() -> None:
    """Two wait behind one; after all three are done, the next has the server for itself."""
    assert 0 == fewest(floats(0, 0, 0, 12, 0), floats(4, 3, 3, 6, 4), 10.0)


@pytest.mark.parametrize("rule", [first_come, fewest])
def test_equal_requests_with_room_for_one_are_erlangs_loss(rule: object) -> None:
    """With no room to wait 1 % is lost at an offered load of 0.01 / 0.99 (Erlang's B of one server)."""
    rate = largest_rate(rule, [10.0], budget_ms=10.0)  # type: ignore[arg-type]
    assert rate == pytest.approx(100 * 0.01 / 0.99, rel=0.1)


def test_a_long_budget_lets_nearly_everything_through() -> None:
    """With room for a hundred, almost the whole server can be used."""
    assert largest_rate(first_come, [10.0], budget_ms=1000.0) > 98.0


def test_the_best_choice_loses_no_more() -> None:
    """With sizes that differ, giving up the largest keeps a higher rate."""
    sizes = [2.0, 4.0, 4.0, 4.0, 12.0]
    assert largest_rate(fewest, sizes, 25.0) > largest_rate(first_come, sizes, 25.0)


def test_equal_seeds_give_equal_rates() -> None:
    """Nothing is drawn that is not seeded."""
    rates = [largest_rate(first_come, [3.0, 5.0], 20.0, seed=3) for _ in range(2)]
    assert rates[0] == rates[1]
