"""Where the time went."""

from __future__ import annotations

import pytest

from loadtest.fold import anatomy
from loadtest.records import ANSWERED, STAGES
from tests.unit.loadtest.made import answered_after, made


def test_the_shares_of_a_late_answer() -> None:
    """Of 100 ms: 20 of client lag, 50 in the server of which 30 queueing and 15 running, 30 outside."""
    records = made((0.0, 20.0, 100.0, ANSWERED), (0.0, 0.0, 1.0, ANSWERED), (0.0, 0.0, 90.0, "timeout"))
    records.rows["server_us"][0] = 50_000
    records.rows["queue_us"][0] = 30_000
    records.rows["run_us"][0] = 15_000
    found = anatomy.fold(records, [25.0])
    assert 1 == found.late
    assert pytest.approx(
        {
            "client lag": 0.2,
            **dict.fromkeys(STAGES, 0.0),
            "queue_us": 0.3,
            "run_us": 0.15,
            "server, other": 0.05,
            "outside": 0.3,
        }
    ) == dict(found.shares)


def test_shares_add_up_whatever_the_clocks_say() -> None:
    """A server that claims more time than passed leaves nothing outside, and the shares still make 1."""
    records = answered_after(30.0, 40.0)
    records.rows["server_us"] = [31_000, 5000]
    found = anatomy.fold(records, [25.0])
    assert pytest.approx(1.0) == sum(found.shares.values())
    assert min(found.shares.values()) >= 0


def test_without_a_late_answer_there_is_no_anatomy() -> None:
    """Nothing late, nothing to share out."""
    found = anatomy.fold(answered_after(5.0), [25.0])
    assert (0, {}) == (found.late, found.shares)
