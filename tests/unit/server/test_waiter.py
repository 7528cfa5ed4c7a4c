"""A request that was scored in parts is one request again."""

from __future__ import annotations

import numpy as np

from server.core.decisions import Lane, Part, Ticket
from server.domain import Payload, RunStamps, Scored
from server.errors import Reason, Refusal
from server.waiter import Waiter

ROWS = 7
PAYLOAD = Payload(
    (np.arange(3),), (np.arange(ROWS), np.arange(2 * ROWS, dtype=np.float32).reshape(ROWS, 2)), ROWS
)
TICKET = Ticket(1, Lane("m", 1, "int8"), ROWS, 0, 10)
PARTS = (Part(TICKET, 0, 3, 3), Part(TICKET, 3, 4, 4))


def waiter(parts: int = 2) -> Waiter:
    made = Waiter(TICKET, PAYLOAD, lambda _: None)
    made.parts = parts
    return made


def scored(part: Part, started_ns: int) -> Scored:
    stamps = RunStamps(started_ns, started_ns + 1, started_ns + 5, part.rows, 1)
    score = np.arange(part.start, part.start + part.rows, dtype=np.float32)
    return Scored({"score": score, "like": -score}, stamps)


def test_a_whole_request_keeps_its_arrays() -> None:
    """What is not split is not copied."""
    assert waiter(1).payload_of(Part(TICKET, 0, ROWS, ROWS)) is PAYLOAD


def test_parts_are_the_rows_and_the_whole_context() -> None:
    """The parts' rows, one below the other, are the request's; each carries the context."""
    parts = [waiter().payload_of(part) for part in PARTS]
    assert [3, 4] == [part.rows for part in parts]
    for at, column in enumerate(PAYLOAD.candidates):
        np.testing.assert_array_equal(column, np.concatenate([part.candidates[at] for part in parts]))
    assert all(part.context is PAYLOAD.context for part in parts)


def test_scores_come_together_in_the_requests_order() -> None:
    """Whichever part ends first; the stamps are the first start and the last end."""
    both = waiter()
    assert both.collect(PARTS[1], scored(PARTS[1], 100)) is None
    outcome = both.collect(PARTS[0], scored(PARTS[0], 200))
    assert isinstance(outcome, Scored)
    np.testing.assert_array_equal(np.arange(ROWS, dtype=np.float32), outcome.heads["score"])
    np.testing.assert_array_equal(-np.arange(ROWS, dtype=np.float32), outcome.heads["like"])
    assert (100, 205) == (outcome.stamps.started_ns, outcome.stamps.ran_ns)


def test_one_failed_part_is_the_requests_failure() -> None:
    """There are no half answers."""
    refusal = Refusal(Reason.EXECUTION_FAILED, "The run failed.")
    both = waiter()
    assert both.collect(PARTS[0], scored(PARTS[0], 0)) is None
    assert refusal is both.collect(PARTS[1], refusal)


def test_the_last_part_to_go_is_known() -> None:
    """Each part goes once."""
    both = waiter()
    assert [False, True] == [both.part_goes(), both.part_goes()]
