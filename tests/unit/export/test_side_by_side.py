"""Work on many items: in order, shared out only when it is long, and errors come out."""

from __future__ import annotations

import threading
import time

import pytest

from export import side_by_side
from export.side_by_side import each


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


def test_results_come_in_the_items_order() -> None:
    """Whoever was faster."""

    def work(item: int) -> int:
        time.sleep(0.003 if item % 3 == 0 else 0.0)
        return item * item

    assert [item * item for item in range(50)] == each(work, iter(range(50)))
    assert [] == each(work, [])


def test_long_work_is_shared_and_short_work_is_not() -> None:
    """By the first item."""
    threads: set[int] = set()

    def long(item: int) -> None:
        threads.add(threading.get_ident())
        time.sleep(0.003)

    each(long, range(12))
    assert len(threads) > 1

    threads.clear()
    each(lambda item: threads.add(threading.get_ident()), range(1_000))
    assert {threading.get_ident()} == threads


def test_the_first_error_is_raised() -> None:
    """Not swallowed by a thread; and items are drawn no further."""
    drawn = []

    def items():  # type: ignore[no-untyped-def]
        for item in range(1_000):
            drawn.append(item)
            yield item

    def work(item: int) -> int:
        time.sleep(0.002)
        if item >= 5:
            raise ValueError(f"item {item}")
        return item

    with pytest.raises(ValueError, match="item 5"):
        each(work, items())
    assert len(drawn) < 20
