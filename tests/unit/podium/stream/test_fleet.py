"""The streams to all backends, with a clock that the test turns and servers that are played by hand."""

from __future__ import annotations

import math

import grpc
import pytest

from podium.client import RankRefused
from podium.client.stream.backend import REOPEN_S_MAX, REOPEN_S_MIN
from podium.client.stream.conversation import Conversation, Phase
from podium.client.stream.effects import Abort, Effect, Open, Resolve, Settle, Wake
from podium.client.stream.envelope import Answer, Notice
from podium.client.stream.fleet import DEAF_S, OPEN_S_MAX, Fleet
from podium.client.stream.roster import RESOLVE_S_MAX, RESOLVE_S_MIN
from podium.client.stream.target import Address
from podium.v1 import ranking_pb2 as pb
from podium.v1.refusal import RefusalDetails

ONE, TWO, THREE = (Address(f"ipv4:10.0.0.{last}:80") for last in (1, 2, 3))
GREETING = Notice(2, draining=False)
DRAINING = Notice(0, draining=True)
BROKEN = RankRefused(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer", RefusalDetails())
NOBODY_HOME = RankRefused(grpc.StatusCode.UNAVAILABLE, "Connection refused", RefusalDetails())


def unready() -> RankRefused:
    """What a server says that was not there for a request."""
    details = RefusalDetails(kind="unready", reason="SHUTTING_DOWN", retry_after_s=0.0)
    return RankRefused(grpc.StatusCode.UNAVAILABLE, "Shutting down.", details)


class Scene:
    """A fleet, what it wanted done, and when."""

    def __init__(self, *addresses: Address, looks_up: bool = True, streams: int = 1) -> None:
        """With addresses: each greeted, once the first request, "warm", has started the fleet."""
        self.now_s = 100.0
        self.fleet: Fleet[str] = Fleet("ranker:80", streams=streams, looks_up=looks_up, draw=lambda: 0.5)
        self.opened: list[Conversation[str]] = []
        self.ended: dict[str, pb.RankResponse | RankRefused] = {}
        self.woken: list[Conversation[str]] = []
        self.aborted: list[Conversation[str]] = []
        self.look_ups = 0
        if addresses:
            self.submit("warm")
            self.resolved(*addresses)
            self.fleet.withdraw("warm", self.now_s)
            for stream in list(self.opened):
                self.heard(stream, GREETING)

    def do(self, effects: list[Effect[str]]) -> None:
        for effect in effects:
            if isinstance(effect, Settle):
                assert effect.token not in self.ended, "settled twice"
                self.ended[effect.token] = effect.outcome
            elif isinstance(effect, Open):
                self.opened.append(effect.conversation)
            elif isinstance(effect, Wake):
                self.woken.append(effect.conversation)
            elif isinstance(effect, Abort):
                self.aborted.append(effect.conversation)
            elif isinstance(effect, Resolve):
                self.look_ups += 1

    def submit(self, *tokens: str, avoid: str = "") -> None:
        for token in tokens:
            self.do(self.fleet.submit(token, avoid, self.now_s))

    def withdraw(self, token: str) -> None:
        self.do(self.fleet.withdraw(token, self.now_s))

    def resolved(self, *addresses: Address) -> None:
        self.do(self.fleet.resolved(addresses, self.now_s))

    def heard(self, stream: Conversation[str], said: Notice | Answer) -> None:
        self.do(self.fleet.heard(stream, said, self.now_s))

    def end(self, stream: Conversation[str], how: RankRefused | None) -> None:
        self.do(self.fleet.ended(stream, how, self.now_s))

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.fleet.wakes_s:
            self.do(self.fleet.tick(self.now_s))

    def send(self, stream: Conversation[str]) -> dict[str | None, int]:
        """Everything that the stream has to say; a Cancel has no name."""
        said = {}
        while (found := stream.next()) is not None:
            said[found[1]] = found[0]
        return said

    def refused(self, token: str) -> RankRefused:
        outcome = self.ended[token]
        assert isinstance(outcome, RankRefused), outcome
        return outcome


def answer(number: int) -> Answer:
    return Answer(number, pb.RankResponse(request_id=str(number)))


def test_nothing_is_looked_up_before_the_first_request() -> None:
    """A client that is never used never connects."""
    scene = Scene()
    assert (math.inf, 0) == (scene.fleet.wakes_s, scene.look_ups)
    scene.submit("a")
    assert 1 == scene.look_ups


def test_every_backend_gets_a_stream() -> None:
    """One per address, at once; requests wait until one of them has greeted."""
    scene = Scene()
    scene.submit("a")
    scene.resolved(ONE, TWO)

    assert [ONE, TWO] == [stream.address for stream in scene.opened]
    assert [] == scene.woken
    scene.heard(scene.opened[1], GREETING)
    assert {"a": 1} == scene.send(scene.opened[1])


def test_backends_take_turns() -> None:
    """Round robin over the streams that take requests."""
    scene = Scene(ONE, TWO)
    one, two = scene.opened
    for token in ("a", "b", "c", "d"):
        scene.submit(token)
        for stream in (one, two):
            for number in scene.send(stream).values():
                scene.heard(stream, answer(number))

    assert [2, 2] == [max(scene.send(stream).values(), default=2) for stream in (one, two)]
    assert {"a", "b", "c", "d"} == scene.ended.keys()


def test_a_full_stream_is_passed_over() -> None:
    """When one backend's places are taken the next ones go to the other."""
    scene = Scene(ONE, TWO)
    one, two = scene.opened
    scene.submit("a", "b", "c")
    first = one if len(scene.send(one)) == 2 else two
    other = two if first is one else one
    scene.send(other)
    scene.submit("d")

    assert (0, 0) == (first.room, other.room)


def test_who_finds_no_room_waits_in_line() -> None:
    """With every place taken requests wait, and an answer lets the first of them in."""
    scene = Scene(ONE)
    (one,) = scene.opened
    scene.submit("a", "b", "c", "d")
    assert {"a": 1, "b": 2} == scene.send(one)
    scene.heard(one, answer(2))

    assert {"c": 3} == scene.send(one)
    assert {"b"} == scene.ended.keys()


def test_who_leaves_the_line_is_not_sent() -> None:
    """A deadline that passes in the line costs the server nothing."""
    scene = Scene(ONE)
    (one,) = scene.opened
    scene.submit("a", "b", "c", "d")
    scene.send(one)
    scene.withdraw("c")
    scene.heard(one, answer(1))

    assert {"d": 3} == scene.send(one)


def test_an_answer_frees_the_place_of_who_left() -> None:
    """A cancelled request keeps its place until the server has said its end: then the line moves."""
    scene = Scene(ONE)
    (one,) = scene.opened
    scene.submit("a", "b", "c")
    scene.send(one)
    scene.withdraw("a")
    assert {None: 1} == scene.send(one)
    scene.heard(one, answer(1))

    assert {"c": 3} == scene.send(one)
    assert {} == scene.ended


def test_a_drained_stream_is_replaced() -> None:
    """A new stream to the same backend is opened at once; what was unsaid and what comes goes there."""
    scene = Scene(ONE)
    (old,) = scene.opened
    scene.submit("a")
    scene.send(old)
    scene.submit("b")
    scene.pass_time(1.0)
    scene.heard(old, DRAINING)
    _, new = scene.opened
    scene.submit("c")
    assert {} == scene.send(old) | scene.send(new)
    scene.heard(new, GREETING)

    assert {"b": 1, "c": 2} == scene.send(new)
    scene.heard(old, answer(1))
    assert {"a"} == scene.ended.keys()
    assert old.half_closes
    assert old is scene.woken[-1]


def test_while_one_drains_others_take_over() -> None:
    """Requests do not wait for the replacement if another backend is there."""
    scene = Scene(ONE, TWO)
    one, two = scene.opened
    scene.heard(one, DRAINING)
    scene.submit("a", "b")

    assert {"a": 1, "b": 2} == scene.send(two)


def test_a_drained_backend_may_be_gone() -> None:
    """When the replacement cannot be opened others serve, and the drained stream's answers still count."""
    scene = Scene(ONE, TWO)
    one, two = scene.opened
    scene.submit("a", "b")
    first, second = scene.send(one), scene.send(two)
    scene.pass_time(1.0)
    scene.heard(one, DRAINING)
    scene.end(scene.opened[2], NOBODY_HOME)
    scene.heard(one, answer(1))
    scene.end(one, None)
    scene.submit("c")

    assert {"a", "b"} == first.keys() | second.keys()
    assert first.keys() == scene.ended.keys()
    assert {"c": 2} == scene.send(two)


def test_a_server_that_drains_from_the_start_is_asked_when_nobody_else_is_there() -> None:
    """A lone server in its lame duck still answers; with another one there it is left alone."""
    scene = Scene()
    scene.submit("a")
    scene.resolved(ONE, TWO)
    one, two = scene.opened
    scene.heard(one, Notice(2, draining=True))
    assert {"a": 1} == scene.send(one)
    scene.heard(two, GREETING)
    scene.submit("b", "c")

    assert {"b": 1, "c": 2} == scene.send(two)


def test_a_refusal_for_elsewhere_goes_elsewhere() -> None:
    """A request that comes back from a backend goes to another one, whosever turn it is."""
    scene = Scene(ONE, TWO)
    one, two = scene.opened
    for token in ("a", "b"):
        scene.submit(token, avoid=str(ONE))

    assert {"a": 1, "b": 2} == scene.send(two)
    assert {} == scene.send(one)


def test_a_backend_to_avoid_is_better_than_none() -> None:
    """Alone it is asked again, as the refusal allows."""
    scene = Scene(ONE)
    scene.submit("a", avoid=str(ONE))

    assert {"a": 1} == scene.send(scene.opened[0])


def test_a_refusal_says_who_refused() -> None:
    """So that the next attempt can go elsewhere."""
    scene = Scene(ONE)
    (one,) = scene.opened
    scene.submit("a")
    scene.send(one)
    scene.heard(one, Answer(1, unready()))

    assert ("10.0.0.1:80", "SHUTTING_DOWN") == (scene.refused("a").backend, scene.refused("a").reason)


def test_what_was_in_flight_on_a_broken_stream_is_lost() -> None:
    """It fails as UNAVAILABLE, says that it may have been scored, and asks for no retry."""
    scene = Scene(ONE, TWO)
    one = scene.opened[0]
    scene.submit("a", "b")
    (lost,) = scene.send(one)
    scene.end(one, BROKEN)

    assert lost is not None
    refused = scene.refused(lost)
    assert (grpc.StatusCode.UNAVAILABLE, None, "") == (refused.code, refused.retry_after_s, refused.reason)
    why = (
        "the stream broke (Connection reset by peer) while the request was in flight; it may have been scored"
    )
    assert f"10.0.0.1:80: {why}." == refused.message
    assert [lost] == list(scene.ended)


def test_what_was_not_sent_on_a_broken_stream_goes_elsewhere() -> None:
    """It cannot have been scored; its caller notices nothing."""
    scene = Scene(ONE, TWO)
    one, two = scene.opened
    scene.submit("a", "b")
    scene.end(one, BROKEN)

    assert {"a", "b"} == scene.send(two).keys()
    assert {} == scene.ended


def test_what_the_transport_refused_to_write_goes_elsewhere() -> None:
    """Its stream is over, whatever it is said to have ended by; what had been written before is lost."""
    scene = Scene(ONE, TWO)
    one, two = scene.opened
    scene.submit("a", "b", "c")
    sent = scene.send(one)
    assert {"a": 1, "c": 2} == sent
    assert {"b": 1} == scene.send(two)
    scene.do(scene.fleet.unwritten(one, sent["c"]))
    scene.end(one, RankRefused(grpc.StatusCode.INTERNAL, "Internal error from Core", RefusalDetails()))

    assert "may have been scored" in scene.refused("a").message
    assert "c" not in scene.ended
    assert {"c": 2} == scene.send(two)
    scene.heard(two, answer(2))
    assert not isinstance(scene.ended["c"], RankRefused)


def test_who_was_on_a_stream_comes_before_who_was_in_line() -> None:
    """A break does not cost the unsent their turn."""
    scene = Scene(ONE)
    one = scene.opened[0]
    scene.submit("a", "b", "c")
    scene.pass_time(1.0)
    scene.end(one, BROKEN)
    scene.heard(scene.opened[1], GREETING)

    assert {"a": 1, "b": 2} == scene.send(scene.opened[1])


def test_a_server_that_leaves_says_that_it_took_no_more() -> None:
    """A stream that ends as unready, in Podium's words, had not let in what it left unanswered."""
    scene = Scene(ONE)
    (one,) = scene.opened
    scene.submit("a", "b")
    scene.send(one)
    scene.end(one, unready())

    first, second = scene.refused("a"), scene.refused("b")
    assert ("unready", "SHUTTING_DOWN", 0.0) == (first.kind, first.reason, first.retry_after_s)
    assert first is not second


def test_a_stream_that_ends_in_order_owes_its_answers() -> None:
    """OK from the server does not make an unanswered request anything but lost."""
    scene = Scene(ONE)
    (one,) = scene.opened
    scene.submit("a")
    scene.send(one)
    scene.end(one, None)

    assert "the server ended the stream while the request was in flight" in scene.refused("a").message


def test_with_nobody_there_requests_are_refused_at_once() -> None:
    """When no backend can be reached the refusal comes now and says why, not at the deadline."""
    scene = Scene()
    scene.submit("a")
    scene.resolved(ONE, TWO)
    one, two = scene.opened
    scene.end(one, NOBODY_HOME)
    assert {} == scene.ended
    scene.end(two, NOBODY_HOME)
    scene.submit("b")

    for token in ("a", "b"):
        assert "No backend of ranker:80 can be reached: Connection refused" == scene.refused(token).message
        assert grpc.StatusCode.UNAVAILABLE == scene.refused(token).code


@pytest.mark.parametrize("how", [DRAINING, BROKEN])
def test_a_server_that_was_there_is_given_another_chance(how: Notice | RankRefused) -> None:
    """Between a drain or a break and the next connection requests wait; they are refused when that fails."""
    scene = Scene(ONE)
    if isinstance(how, Notice):
        scene.heard(scene.opened[0], how)
    else:
        scene.end(scene.opened[0], how)
    scene.submit("a")
    assert (1, {}) == (len(scene.opened), scene.ended)
    scene.pass_time(2 * REOPEN_S_MIN)
    scene.end(scene.opened[1], NOBODY_HOME)

    assert "Connection refused" in scene.refused("a").message


def test_a_server_without_the_method_is_named_as_one() -> None:
    """The code of the refusal is the server's own."""
    scene = Scene()
    scene.submit("a")
    scene.resolved(ONE)
    end = RankRefused(grpc.StatusCode.UNIMPLEMENTED, "Method not found!", RefusalDetails())
    scene.end(scene.opened[0], end)

    assert (grpc.StatusCode.UNIMPLEMENTED, "invalid") == (scene.refused("a").code, scene.refused("a").kind)


def test_a_name_that_nobody_knows_is_the_reason() -> None:
    """Without an address the refusal says what the look-up said; a later look-up may do better."""
    scene = Scene()
    scene.submit("a")
    scene.do(scene.fleet.unresolved("ranker: Name or service not known", scene.now_s))
    assert "Name or service not known" in scene.refused("a").message
    scene.pass_time(RESOLVE_S_MIN)
    assert 2 == scene.look_ups
    scene.resolved(ONE)
    scene.submit("b")
    scene.heard(scene.opened[0], GREETING)
    assert {"b": 1} == scene.send(scene.opened[0])


def test_waits_between_openings_double_and_end() -> None:
    """A backend that is down is tried less and less often, and never less than every REOPEN_S_MAX."""
    scene = Scene()
    scene.submit("a")
    scene.resolved(ONE)
    waits = []
    for _ in range(9):
        began_s = scene.now_s
        count = len(scene.opened)
        scene.end(scene.opened[-1], NOBODY_HOME)
        while len(scene.opened) == count:
            scene.pass_time(scene.fleet.wakes_s - scene.now_s)
        waits.append(scene.now_s - began_s)

    assert waits == sorted(waits)
    assert pytest.approx([2 * REOPEN_S_MIN, 4 * REOPEN_S_MIN]) == waits[:2]
    assert pytest.approx(REOPEN_S_MAX) == waits[-1]


def test_an_answer_forgives_earlier_failures() -> None:
    """A backend that came back and answered is not made to wait for what was before."""
    scene = Scene()
    scene.submit("a")
    scene.resolved(ONE)
    for _ in range(5):
        scene.end(scene.opened[-1], NOBODY_HOME)
        scene.pass_time(REOPEN_S_MAX)
    scene.submit("b")
    scene.heard(scene.opened[-1], GREETING)
    scene.send(scene.opened[-1])
    scene.heard(scene.opened[-1], answer(1))
    count = len(scene.opened)
    scene.end(scene.opened[-1], BROKEN)
    scene.pass_time(REOPEN_S_MIN)

    assert count + 1 == len(scene.opened)


def test_a_stream_that_was_of_use_is_replaced_at_once() -> None:
    """A break after a long life is followed by a new stream without a wait."""
    scene = Scene(ONE)
    (one,) = scene.opened
    scene.submit("a")
    scene.send(one)
    scene.heard(one, answer(1))
    scene.pass_time(10.0)
    scene.end(one, BROKEN)

    assert 2 == len(scene.opened)


def test_a_backend_that_never_greets_is_given_up() -> None:
    """A connection that hangs is cancelled after OPEN_S_MAX, and those who waited hear why."""
    scene = Scene()
    scene.submit("a")
    scene.resolved(ONE)
    scene.pass_time(OPEN_S_MAX)

    assert scene.opened[:1] == scene.aborted
    assert "no greeting within 5 s" in scene.refused("a").message


def test_a_server_that_owes_answers_to_cancels_is_deaf() -> None:
    """After DEAF_S its stream is given up: a dead connection must not swallow one request after another."""
    scene = Scene(ONE, looks_up=False)
    (one,) = scene.opened
    scene.pass_time(OPEN_S_MAX)
    scene.submit("a", "b")
    scene.send(one)
    assert math.inf == scene.fleet.wakes_s
    scene.withdraw("a")
    scene.pass_time(DEAF_S / 2)
    assert [] == scene.aborted
    scene.pass_time(DEAF_S / 2)

    assert [one] == scene.aborted
    assert "no answer to a Cancel within 5 s" in scene.refused("b").message
    assert 2 == len(scene.opened)


def test_names_are_looked_up_again_when_something_fails() -> None:
    """A drain or a break asks for the addresses of now, at most once in RESOLVE_S_MIN."""
    scene = Scene(ONE, TWO)
    scene.pass_time(RESOLVE_S_MIN / 2)
    for stream in scene.opened[:2]:
        scene.end(stream, BROKEN)
    assert 1 == scene.look_ups
    scene.pass_time(RESOLVE_S_MIN / 2)
    assert 2 == scene.look_ups


def test_names_are_looked_up_now_and_then_anyway() -> None:
    """A replica that was added gets its stream, and one that is no longer named finishes what it has."""
    scene = Scene(ONE, TWO)
    one, two = scene.opened
    scene.submit("a", "b")
    sent = scene.send(one) | scene.send(two)
    scene.pass_time(RESOLVE_S_MAX)
    assert 2 == scene.look_ups
    scene.resolved(TWO, THREE)

    assert [ONE, TWO, THREE] == [stream.address for stream in scene.opened]
    assert (Phase.FINISHING, Phase.OPEN) == (one.phase, two.phase)
    assert {"a", "b"} == sent.keys()
    scene.heard(one, answer(1))
    assert one.half_closes


def test_addresses_are_never_looked_up_again() -> None:
    """A target without names has said it all."""
    scene = Scene(ONE, looks_up=False)
    scene.end(scene.opened[0], BROKEN)
    scene.pass_time(10 * RESOLVE_S_MAX)

    assert 1 == scene.look_ups


def test_a_failed_look_up_changes_nothing() -> None:
    """Backends that are known and answer are worth more than a name server that does not."""
    scene = Scene(ONE)
    scene.pass_time(RESOLVE_S_MAX)
    scene.do(scene.fleet.unresolved("ranker: timed out", scene.now_s))
    scene.submit("a")

    assert {"a": 1} == scene.send(scene.opened[0])


def test_a_request_that_could_not_be_sent_ends_and_makes_room() -> None:
    """What expired between the line and the wire is refused, and the next one moves up."""
    scene = Scene(ONE)
    (one,) = scene.opened
    scene.submit("a", "b", "c")
    scene.send(one)
    expired = RankRefused(grpc.StatusCode.DEADLINE_EXCEEDED, "Too late.", RefusalDetails(kind="expired"))
    scene.do(scene.fleet.unsent(one, 1, expired))

    assert expired is scene.ended["a"]
    assert {"c": 3} == scene.send(one)


def test_a_closed_fleet_finishes_what_is_on_its_streams() -> None:
    """In flight is waited for; the line is cancelled; a stream without answers to come half-closes."""
    scene = Scene(ONE, TWO)
    one, two = scene.opened
    scene.submit("a", "b", "c", "d", "e")
    sent = scene.send(one) | scene.send(two)
    assert {"a", "b", "c", "d"} == sent.keys()
    scene.do(scene.fleet.close())
    assert "cancelled" == scene.refused("e").kind
    for stream in (one, two):
        for number in (1, 2):
            scene.heard(stream, answer(number))
        assert stream.half_closes
        scene.end(stream, None)

    assert scene.fleet.over
    assert {"a", "b", "c", "d", "e"} == scene.ended.keys()
    with pytest.raises(ValueError, match="the client is closed"):
        scene.submit("f")


def test_a_server_that_drains_while_the_client_closes_is_sent_nothing_more() -> None:
    """What had not been sent by then is cancelled; the stream half-closes with the last answer."""
    scene = Scene(ONE)
    (one,) = scene.opened
    scene.submit("a")
    scene.send(one)
    scene.submit("b")
    scene.do(scene.fleet.close())
    scene.heard(one, DRAINING)
    assert ("cancelled", {}) == (scene.refused("b").kind, scene.send(one))
    scene.heard(one, answer(1))
    assert one.half_closes


def test_what_does_not_end_in_time_is_aborted() -> None:
    """After the grace of a close calls end as cancelled, and streams are."""
    scene = Scene(ONE)
    (one,) = scene.opened
    scene.submit("a")
    scene.send(one)
    scene.do(scene.fleet.close())
    assert not scene.fleet.over
    scene.do(scene.fleet.abort(scene.now_s))

    assert "cancelled" == scene.refused("a").kind
    assert [one] == scene.aborted
    assert scene.fleet.over


def test_a_close_does_not_wait_for_a_greeting() -> None:
    """A stream that is being opened has nothing to finish."""
    scene = Scene()
    scene.submit("a")
    scene.resolved(ONE)
    scene.do(scene.fleet.close())

    assert scene.opened == scene.aborted
    assert scene.fleet.over


def test_other_streams_follow_the_first_on_its_connection() -> None:
    """Nothing is gained by knocking several times: the others are opened when the server has greeted."""
    scene = Scene(streams=3)
    scene.submit("a")
    scene.resolved(ONE)
    assert 1 == len(scene.opened)
    scene.heard(scene.opened[0], GREETING)

    assert 3 == len(scene.opened)
    assert 1 == len({stream.connection for stream in scene.opened})


def test_requests_spread_over_a_backend_s_streams() -> None:
    """The stream with the most room is next, so that none waits for another to be sent."""
    scene = Scene(ONE, streams=3)
    for stream in scene.opened[1:]:
        scene.heard(stream, GREETING)
    scene.submit("a", "b", "c")

    assert [1, 1, 1] == [len(scene.send(stream)) for stream in scene.opened]


def test_a_backend_s_turn_does_not_depend_on_how_many_streams_it_has() -> None:
    """Turns are the backends'."""
    scene = Scene(ONE, TWO, streams=2)
    scene.heard(scene.opened[2], GREETING)
    scene.submit("a", "b", "c", "d")
    sent: dict[Address, int] = {ONE: 0, TWO: 0}
    for stream in scene.opened:
        sent[stream.address] += len(scene.send(stream))

    assert {ONE: 2, TWO: 2} == sent


def test_streams_of_a_connection_drain_together() -> None:
    """One notice holds for all: they finish, and one new connection takes over."""
    scene = Scene(ONE, streams=2)
    first, second = scene.opened
    scene.heard(second, GREETING)
    scene.submit("a", "b")
    assert [1, 1] == [len(scene.send(stream)) for stream in (first, second)]
    scene.pass_time(1.0)
    scene.heard(second, DRAINING)
    scene.heard(first, DRAINING)

    assert [Phase.FINISHING] * 2 == [first.phase, second.phase]
    (new,) = scene.opened[2:]
    assert new.connection is not first.connection
    scene.heard(first, answer(1))
    scene.heard(second, answer(1))
    assert {"a", "b"} == scene.ended.keys()
    assert first.half_closes
    assert second.half_closes


def test_when_one_stream_breaks_the_others_finish() -> None:
    """What was in flight on the broken one is lost, on the others it is waited for."""
    scene = Scene(ONE, streams=2)
    first, second = scene.opened
    scene.heard(second, GREETING)
    scene.submit("a", "b")
    lost, kept = scene.send(first), scene.send(second)
    scene.end(first, BROKEN)
    assert lost.keys() == scene.ended.keys()
    scene.heard(second, answer(1))

    assert lost.keys() | kept.keys() == scene.ended.keys()
    assert second.half_closes
    assert {first, second}.isdisjoint(scene.aborted)


def test_a_follower_that_never_opens_is_done_without() -> None:
    """A server that takes one stream per connection is not left for it."""
    scene = Scene(ONE, streams=2)
    first, second = scene.opened
    scene.submit("a")
    scene.pass_time(OPEN_S_MAX)

    assert ([second], Phase.OPEN) == (scene.aborted, first.phase)
    assert {"a": 1} == scene.send(first)
    assert 2 == len(scene.opened)


def test_a_last_resort_is_not_widened() -> None:
    """Nobody opens more streams to a server that wants to go; one that drains meanwhile is left."""
    scene = Scene(streams=2)
    scene.submit("a")
    scene.resolved(ONE, TWO)
    one, two = scene.opened
    scene.heard(one, Notice(2, draining=True))
    assert 2 == len(scene.opened)
    scene.heard(two, GREETING)
    scene.heard(scene.opened[2], Notice(2, draining=True))

    assert Phase.FINISHING is two.phase
