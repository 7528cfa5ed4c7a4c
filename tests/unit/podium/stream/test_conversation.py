"""One stream, told and asked by hand."""

from __future__ import annotations

from podium.client.stream.conversation import IN_FLIGHT_MAX, Connection, Conversation, Phase
from podium.client.stream.envelope import Notice
from podium.client.stream.target import Address

HERE = Address("ipv4:10.0.0.1:80")
GREETING = Notice(3, draining=False)
DRAINING = Notice(0, draining=True)


def greeted(notice: Notice = GREETING) -> Conversation[str]:
    """A stream whose server has spoken."""
    stream: Conversation[str] = Conversation(Connection(HERE), 0.0)
    stream.notice(notice)
    return stream


def asked(*tokens: str) -> Conversation[str]:
    """A stream on which these have been sent, under 1, 2, ..."""
    stream = greeted()
    for token in tokens:
        stream.put(token)
        stream.next()
    return stream


def test_nothing_is_taken_before_the_greeting() -> None:
    """A stream that never opens has nothing to lose."""
    stream: Conversation[str] = Conversation(Connection(HERE), 0.0)

    assert (Phase.OPENING, 0) == (stream.phase, stream.room)


def test_the_greeting_says_how_much_may_be_in_flight() -> None:
    """The limit is the server's; where it says none the contract's default holds; a later one counts."""
    stream = greeted(Notice(0, draining=False))
    assert IN_FLIGHT_MAX == stream.room
    stream.notice(Notice(5, draining=False))
    assert 5 == stream.room


def test_requests_go_out_in_order_each_under_its_own_id() -> None:
    """Ids count up from 1 and are never used again."""
    stream = greeted()
    stream.put("a")
    stream.put("b")

    assert [(1, "a"), (2, "b"), None] == [stream.next(), stream.next(), stream.next()]
    assert "b" == stream.answered(2)
    stream.put("c")
    assert (3, "c") == stream.next()


def test_a_full_stream_takes_no_more() -> None:
    """Room counts what waits to be sent and what waits for its answer."""
    stream = asked("a", "b")
    stream.put("c")
    assert 0 == stream.room
    stream.answered(1)
    assert 1 == stream.room


def test_an_answer_for_nobody_is_nobody_s() -> None:
    """An id that was never sent, or was answered before, wakes nobody and frees nothing."""
    stream = asked("a")
    stream.answered(1)

    assert [None, None] == [stream.answered(1), stream.answered(9)]
    assert 3 == stream.room


def test_who_leaves_after_sending_is_cancelled_at_the_server() -> None:
    """A Cancel goes out, before anything else; the id is free again when the server has answered it."""
    stream = asked("a")
    stream.put("b")
    assert stream.withdraw("a", 1.0)

    assert [(1, None), (2, "b")] == [stream.next(), stream.next()]
    assert (1, 1.0) == (stream.room, stream.unheard_since_s)
    assert stream.answered(1) is None
    assert (2, None) == (stream.room, stream.unheard_since_s)


def test_who_leaves_before_sending_was_never_there() -> None:
    """Nothing is sent, neither the request nor a Cancel."""
    stream = greeted()
    stream.put("a")
    assert not stream.withdraw("a", 1.0)

    assert (None, 3) == (stream.next(), stream.room)


def test_an_answer_that_overtakes_the_cancel_saves_it() -> None:
    """A Cancel for what has been answered meanwhile is not sent."""
    stream = asked("a")
    stream.withdraw("a", 1.0)
    stream.answered(1)

    assert stream.next() is None


def test_a_request_that_could_not_be_sent_leaves_no_trace() -> None:
    """`forget` frees the id; whoever left it is not cancelled at a server that never heard of it."""
    stream = asked("a", "b")
    stream.withdraw("b", 1.0)

    assert ["a", None] == [stream.forget(1), stream.forget(2)]
    assert (3, None) == (stream.room, stream.next())
    assert not stream.useful


def test_a_drained_stream_finishes_what_it_has_and_half_closes() -> None:
    """No more is taken; the last answer ends our side."""
    stream = asked("a", "b")
    stream.notice(DRAINING)
    assert (Phase.FINISHING, 0, False) == (stream.phase, stream.room, stream.half_closes)
    stream.answered(1)
    assert not stream.half_closes
    stream.answered(2)
    assert stream.half_closes


def test_a_drained_stream_still_cancels() -> None:
    """Our side stays open for the Cancel of whoever leaves; then nobody waits for anything."""
    stream = asked("a")
    stream.notice(DRAINING)
    stream.withdraw("a", 1.0)
    assert not stream.half_closes
    stream.next()
    assert stream.half_closes


def test_what_was_not_said_on_a_drained_stream_can_go_elsewhere() -> None:
    """The unsaid come back in their order; the said stay."""
    stream = asked("a")
    stream.put("b")
    stream.put("c")
    stream.notice(DRAINING)

    assert ["b", "c"] == stream.take_unsaid()
    assert stream.next() is None
    assert "a" == stream.answered(1)


def test_a_server_that_greets_with_a_drain_is_the_last_resort() -> None:
    """It answers for as long as it stands: the stream takes requests, and does not half-close when idle."""
    stream = greeted(Notice(3, draining=True))

    assert (Phase.LAST_RESORT, 3, False) == (stream.phase, stream.room, stream.half_closes)


def test_the_end_tells_the_said_from_the_unsaid() -> None:
    """What was sent may have been scored, what was not cannot have been; who had left is in neither."""
    stream = asked("a", "b")
    stream.put("c")
    stream.withdraw("b", 1.0)

    assert (["a"], ["c"]) == stream.end()
    assert (Phase.OVER, 0, True) == (stream.phase, stream.room, stream.half_closes)
    stream.notice(GREETING)
    assert (Phase.OVER, None) == (stream.phase, stream.next())
