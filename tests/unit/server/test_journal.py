"""At most one line per reason and second, and every request counted in exactly one of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.errors import Reason
from server.journal import SECOND_NS, Journal

SOME = (Reason.OVERLOADED, Reason.INVALID_FIELD, Reason.INTERNAL_ERROR)


class Lines:
    """A log that remembers its lines; the clock is whoever sets `now_ns`."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.lines: list[tuple[int, str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((self.now_ns, event, {"level": "info", **fields}))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append((self.now_ns, event, {"level": "error", **fields}))


@given(
    steps=st.lists(
        st.tuples(st.integers(0, SECOND_NS), st.sampled_from(SOME) | st.none()), min_size=1, max_size=80
    )
)
def test_one_line_per_reason_and_second(steps: list[tuple[int, Reason | None]]) -> None:
    """Whatever comes when, beats (None) too: lines are a second apart, counts add up to the refusals."""
    log = Lines()
    journal = Journal(log, 0)
    for wait_ns, reason in steps:
        log.now_ns += wait_ns
        if reason is None:
            journal.catch_up(log.now_ns)
        else:
            journal.refused(log.now_ns, reason, "", "tiny", 5)
    for reason in SOME:
        times = [at for at, _, fields in log.lines if fields["reason"] == reason.value]
        assert all(later - earlier >= SECOND_NS for earlier, later in pairwise(times))
    journal.catch_up(log.now_ns, last=True)
    for reason in SOME:
        told = sum(fields["count"] for _, _, fields in log.lines if fields["reason"] == reason.value)
        assert told == sum(found is reason for _, found in steps)


def test_our_faults_are_errors() -> None:
    """What the server did wrong stands out; what a caller did wrong does not."""
    log = Lines()
    journal = Journal(log, 0)
    for reason in SOME:
        journal.refused(0, reason, "", "tiny", 5)
    assert ["info", "info", "error"] == [fields["level"] for _, _, fields in log.lines]


def test_an_answer_stands_for_those_before_it() -> None:
    """Two per second: the first at once, the next half a second later, with the count of those between."""
    log = Lines()
    journal = Journal(log, 2)
    for at_ns in range(0, SECOND_NS, SECOND_NS // 10):
        log.now_ns = at_ns
        if at_ns >= journal.answer_due_ns:
            journal.answered(at_ns, "", model="tiny")
        else:
            journal.skipped += 1
    assert [(0, 1), (SECOND_NS // 2, 5)] == [(at, fields["stands_for"]) for at, _, fields in log.lines]


def test_zero_is_off() -> None:
    """No answer is ever due."""
    assert Journal(Lines(), 0).answer_due_ns == float("inf")


def test_a_callers_text_stays_inside_its_line() -> None:
    """Line ends and colours of a request_id are written as escapes."""
    log = Lines()
    Journal(log, 0).refused(0, Reason.OVERLOADED, "a\nb\x1b[31m\u2028é", "tiny", 5)
    assert r"a\nb\x1b[31m\u2028\xe9" == log.lines[0][2]["request_id"]


def test_a_text_too_long_for_a_name_is_not_written() -> None:
    """Such a request is refused for it; what it holds is anything."""
    log = Lines()
    Journal(log, 0).refused(0, Reason.INVALID_FIELD, "x" * 65, "tiny", 5)
    assert "request_id" not in log.lines[0][2]
