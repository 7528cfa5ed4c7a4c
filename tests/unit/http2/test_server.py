"""The server's end of HTTP/2: calls come in whole, answers go out whole, for any windows and any reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http2 import frames
from http2.client import Conversation, Finished, Received
from http2.messages import SlowError, prefixed
from http2.server import Connection
from tests.unit.http2.peers import (
    BLOCK,
    HEAD,
    MESSAGE_BYTES_MAX,
    OK,
    REQUEST,
    STREAMS_MAX,
    Client,
    Told,
    begun,
    data,
    limits,
    meet,
    opened,
    sent,
    told,
)

ANSWERED = [{":status": "200", "content-type": "application/grpc"}, {"grpc-status": "0"}]
REQUESTED = {name.encode(): value.encode() for name, value in REQUEST}

# --- one call ---


def test_a_call_comes_in_and_its_answer_goes_out() -> None:
    """Headers, message and end; headers, message and trailers: byte for byte, in one frame each."""
    client = meet()
    stream = client.open(("x-more", "1"))
    client.talk.send_data(stream, prefixed(b"question"), end_stream=True)
    assert [
        ("opened", stream, REQUESTED | {b"x-more": b"1"}),
        ("message", stream, b"question"),
        ("ended", stream, None),
    ] == client.speak()
    assert [stream] == client.server.streams
    client.server.answer(stream, HEAD, prefixed(b"answer"), OK)
    assert [] == client.server.streams
    client.listen()
    assert (ANSWERED, prefixed(b"answer")) == (client.headers[stream], bytes(client.body[stream]))
    assert ([stream], {}) == (client.ended, client.resets)


def test_a_refusal_can_travel_alone() -> None:
    """One block that is headers and trailers at once, which gRPC calls trailers-only."""
    client = meet()
    stream = client.open(last=True)
    assert [("opened", stream, REQUESTED), ("ended", stream, None)] == client.speak()
    client.server.end(stream, HEAD + OK)
    client.listen()
    assert ([{**ANSWERED[0], **ANSWERED[1]}], [stream]) == (client.headers[stream], client.ended)


def test_messages_follow_one_another_on_one_stream() -> None:
    """Several in one frame, one in several frames, and empty ones; the end may come by itself."""
    client = meet()
    stream = client.open()
    client.talk.send_data(stream, prefixed(b"one") + prefixed(b"") + prefixed(b"three")[:6])
    client.talk.send_data(stream, prefixed(b"three")[6:])
    assert [b"one", b"", b"three"] == [what for kind, _, what in client.speak() if kind == "message"]
    client.talk.end_stream(stream)
    assert [("ended", stream, None)] == client.speak()


def test_trailers_of_a_client_end_its_side() -> None:
    """gRPC's clients send none; a proxy may."""
    client = meet()
    stream = client.open()
    client.talk.send_data(stream, prefixed(b"q"))
    client.talk.send_headers(stream, [("x-checksum", "1")], end_stream=True)
    assert [("message", stream, b"q"), ("ended", stream, None)] == client.speak()[1:]
    client.server.answer(stream, HEAD, prefixed(b"a"), OK)
    client.listen()
    assert ([stream], {}) == (client.ended, client.resets)


def test_a_side_that_ends_inside_a_message_is_malformed() -> None:
    """With its data, or with trailers after it."""
    for trailers in (False, True):
        client = meet()
        stream = client.open()
        client.talk.send_data(stream, prefixed(b"question")[:-1], end_stream=not trailers)
        if trailers:
            client.talk.send_headers(stream, [("x", "1")], end_stream=True)
        assert [("malformed", stream)] == [event[:2] for event in client.speak()[1:]]
        client.server.end(stream, HEAD + OK)
        client.listen()
        assert ([stream], {}) == (client.ended, client.resets)


def test_an_answer_before_the_whole_question_asks_for_no_more() -> None:
    """The client is told that the rest is not wanted (RFC 9113, 8.1); what was on its way is nothing."""
    client = meet()
    stream = client.open()
    client.speak()
    client.server.answer(stream, HEAD, prefixed(b"no"), OK)
    client.talk.send_data(stream, prefixed(b"late"))
    assert [] == client.speak()
    client.listen()
    assert (ANSWERED, {stream: frames.NO_ERROR}) == (client.headers[stream], client.resets)


def test_a_call_given_up_is_over() -> None:
    """The owner is told once; what it still says goes nowhere."""
    client = meet()
    stream = client.open()
    client.talk.reset_stream(stream, frames.CANCEL)
    assert [("opened", stream, REQUESTED), ("reset", stream, None)] == client.speak()
    assert [] == client.server.streams
    client.server.begin(stream, HEAD)
    client.server.send(stream, prefixed(b"x"))
    client.server.end(stream, OK)
    client.server.drop(stream)
    assert (b"", 0, False) == (
        client.server.take(),
        client.server.unsent_bytes(stream),
        client.server.begun(stream),
    )


def test_nothing_follows_the_end() -> None:
    """While an answer waits for its window, its call is over for the owner: nothing takes its place."""
    client = meet(window=10)
    stream = client.open(last=True)
    client.speak()
    client.server.answer(stream, HEAD, prefixed(bytes(100)), OK)
    client.server.drop(stream)
    client.server.send(stream, prefixed(b"more"))
    client.server.end(stream, HEAD + OK)
    client.exchange()
    assert (ANSWERED, prefixed(bytes(100))) == (client.headers[stream], bytes(client.body[stream]))
    assert [stream] == client.ended


def test_what_is_dropped_makes_way_for_the_end() -> None:
    """What the client has left unread is not sent; its trailers are."""
    client = meet(window=10)
    stream = client.open(last=True)
    client.speak()
    client.server.begin(stream, HEAD)
    client.server.send(stream, bytes(1000))
    assert 990 == client.server.unsent_bytes(stream)
    client.server.drop(stream)
    assert 0 == client.server.unsent_bytes(stream)
    client.server.end(stream, OK)
    client.listen(read=False)
    assert (ANSWERED, 10, [stream]) == (client.headers[stream], len(client.body[stream]), client.ended)


# --- windows ---


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(0, 80_000), min_size=1, max_size=5),
    st.integers(1_000, 100_000),
    st.sampled_from((16_384, 20_000, 1 << 20)),
)
def test_answers_of_any_size_pass_any_window(sizes: list[int], window: int, frame_bytes_max: int) -> None:
    """Flow control holds back what must wait; nothing is lost, doubled or out of order; frames are short."""
    client = meet(window=window, frame_bytes_max=frame_bytes_max)
    streams = [client.open(last=True) for _ in sizes]
    client.speak()
    for stream, size in zip(streams, sizes, strict=True):
        client.server.answer(stream, HEAD, prefixed(bytes([stream]) * size), OK)
    client.exchange()
    assert sorted(client.ended) == streams
    for stream, size in zip(streams, sizes, strict=True):
        assert prefixed(bytes([stream]) * size) == bytes(client.body[stream])
        assert ANSWERED == client.headers[stream]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, MESSAGE_BYTES_MAX), min_size=1, max_size=20))
def test_a_client_never_waits_for_more_window(sizes: list[int]) -> None:
    """Whatever the sizes, whoever may send a message can send it whole, and the next one after it."""
    client = meet()
    stream = client.open()
    for size in sizes:
        left = prefixed(bytes(size))
        while left:
            room = min(client.talk.local_flow_control_window(stream), client.talk.max_outbound_frame_size)
            assert room > 0
            client.talk.send_data(stream, left[:room])
            left = left[room:]
            client.speak()
            client.listen()


def test_a_shrinking_window_may_be_less_than_nothing() -> None:
    """A setting takes back what it gave; the stream goes on when it is above zero again (RFC 9113, 6.9.2)."""
    server = begun()
    server.receive(opened(1, last=True))
    server.begin(1, HEAD)
    server.send(1, bytes(1000))
    server.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 500}))
    server.take()
    server.send(1, bytes(20))
    for more in (400, 100):
        server.receive(frames.window_update(1, more))
        assert b"" == server.take()
    server.receive(frames.window_update(1, 3))
    assert [3] == [len(one.payload) for one in sent(server)]
    server.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 510}))
    assert [0, 10] == [len(one.payload) for one in sent(server)]
    assert 7 == server.unsent_bytes(1)


def test_a_setting_given_twice_counts_once() -> None:
    """Its last value is what streams have, old ones and new ones."""
    server = begun()
    server.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 5}) + opened(1, last=True))
    payload = b"".join(b"\0\4" + value.to_bytes(4, "big") for value in (1 << 30, 0, 7))
    server.receive(frames.frame(frames.SETTINGS, 0, 0, payload) + opened(3, last=True))
    for stream in (1, 3):
        server.begin(stream, HEAD)
        server.send(stream, bytes(10))
        assert 3 == server.unsent_bytes(stream)


def test_streams_share_the_connection_window_in_turn() -> None:
    """Who has been served waits behind who has not: a stream that never stops talking starves nobody."""
    server = begun()
    server.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 20}))
    for stream in (1, 3, 5):
        server.receive(opened(stream, last=True))
        server.begin(stream, HEAD)
    server.send(1, bytes(frames.WINDOW_INITIAL))
    server.take()
    for stream in (1, 3, 5):
        server.send(stream, bytes(40_000))
    served: Counter[int] = Counter()
    for _ in range(6):
        server.receive(frames.window_update(0, 10_000))
        served.update({one.stream: one.size for one in sent(server)})
    assert {1: 20_000, 3: 20_000, 5: 20_000} == served


def test_an_answer_that_waits_for_its_own_window_holds_up_nobody() -> None:
    """The connection's window goes to those who can use it."""
    client = meet(window=10)
    first, second = client.open(last=True), client.open(last=True)
    client.speak()
    client.server.answer(first, HEAD, prefixed(bytes(100)), OK)
    client.server.answer(second, HEAD, prefixed(b"short"), OK)
    client.listen(read=False)
    assert [second] == client.ended
    client.read()
    client.exchange()
    assert [second, first] == client.ended


# --- the connection ---


def test_the_first_bytes_are_our_settings() -> None:
    """Before the client has said a word: it need not wait for its own to arrive."""
    first, second = sent(Connection(limits()))
    assert (frames.SETTINGS, frames.WINDOW_UPDATE) == (first.kind, second.kind)
    assert {
        frames.MAX_CONCURRENT_STREAMS: STREAMS_MAX,
        frames.INITIAL_WINDOW_SIZE: MESSAGE_BYTES_MAX + 5,
        frames.MAX_FRAME_SIZE: 1 << 20,
        frames.MAX_HEADER_LIST_SIZE: 16 << 10,
    } == dict(frames.pairs(first.payload))


def test_more_calls_than_streams_are_refused_unseen() -> None:
    """REFUSED_STREAM: the client may ask elsewhere; the others go on, and an ended one makes room."""
    server = begun()
    streams = range(1, 2 * STREAMS_MAX + 4, 2)
    events = told(server.receive(b"".join(opened(stream, last=True) for stream in streams)))
    assert list(streams)[:STREAMS_MAX] == [stream for kind, stream, _ in events if kind == "opened"]
    refused = [(one.kind, one.stream, one.payload[-1]) for one in sent(server)]
    assert [
        (frames.RST_STREAM, stream, frames.REFUSED_STREAM) for stream in list(streams)[STREAMS_MAX:]
    ] == refused
    server.end(1, HEAD + OK)
    assert "opened" == told(server.receive(opened(99, last=True)))[0][0]


def test_pings_are_answered() -> None:
    """Clients measure with them, and hang up on the silent."""
    client = meet()
    client.talk.ping(b"12345678")
    client.exchange()
    assert [b"12345678"] == client.pongs


def test_a_ping_of_ours_is_answered_too() -> None:
    """Whoever is alive says something; the answer means nothing else."""
    client = meet()
    client.server.ping()
    client.listen()
    assert [] == client.speak()
    assert not client.server.idle


def test_leaving_loses_no_call() -> None:
    """Calls begun before the client has heard are taken; it is told the last one; later ones are refused.

    It is left when it has answered a ping that came after the last word: by then it has read that too.
    """
    server = begun()
    server.receive(opened(1, last=True))
    server.leave()
    server.leave()
    going, ping = sent(server)
    assert (frames.GOAWAY, frames.WINDOW_MAX) == (going.kind, frames.number(going.payload))
    assert "opened" == told(server.receive(opened(3, last=True)))[0][0]
    assert not server.idle
    server.receive(frames.frame(frames.PING, frames.ACK, 0, bytes(ping.payload)))
    (gone,) = sent(server)
    assert (frames.GOAWAY, 3, frames.NO_ERROR) == (
        gone.kind,
        frames.number(gone.payload),
        frames.number(gone.payload, 4),
    )
    assert [] == server.receive(opened(5, last=True))
    assert [frames.reset(5, frames.REFUSED_STREAM)] == [server.take()]
    for stream in (1, 3):
        assert not server.idle
        server.end(stream, HEAD + OK)
    *_, ping = sent(server)
    assert (False, True) == (server.idle, server.owing)
    server.receive(frames.frame(frames.PING, frames.ACK, 0, bytes(ping.payload)))
    assert (True, False) == (server.idle, server.owing)
    server.break_off(frames.ProtocolError("any", frames.INTERNAL_ERROR))
    (last,) = [one for one in sent(server) if one.kind == frames.GOAWAY]
    assert 3 == frames.number(last.payload)  # never more than was said (RFC 9113, 6.8)


def test_the_connection_window_is_given_back_once() -> None:
    """What has come is allowed again, at most half a window late and never twice, wanted or not."""
    server, came, window = begun(), 0, 64 << 20
    server.receive(opened(1, last=True) + frames.reset(1, frames.CANCEL))
    for _ in range(150):
        server.receive(data(1, bytes(1 << 20)))
        came += 1 << 20
        window += sum(frames.number(one.payload) for one in sent(server))
        assert 32 << 20 <= window - came <= 64 << 20


def test_a_call_given_up_gives_back_its_room() -> None:
    """The rest of its message will not come."""
    allowed = limits()
    server = begun(allowed)
    server.receive(opened(1) + data(1, prefixed(bytes(9000))[:-1]))
    assert allowed.room.used
    server.receive(frames.reset(1, frames.CANCEL))
    assert 0 == allowed.room.used


def test_a_connection_that_is_gone_gives_back_its_room() -> None:
    """Messages that will never be whole hold nothing."""
    allowed = limits()
    server = begun(allowed)
    for stream in (1, 3):
        server.receive(opened(stream) + data(stream, prefixed(bytes(9000))[:-1]))
    assert allowed.room.used >= 17_000
    server.close()
    assert 0 == allowed.room.used


def test_a_message_that_stops_is_given_up() -> None:
    """After two looks; one that goes on from message to message is not, nor is one with nothing to say."""
    server = begun()
    server.receive(opened(1) + opened(3) + opened(5) + data(1, prefixed(b"question")[:-1]))
    events = []
    for _ in range(4):
        server.receive(data(3, prefixed(bytes(1000))[:-1]))
        events += told(server.wait())
        server.receive(data(3, b"\0"))
    assert [("malformed", 1, SlowError)] == events
    assert [1, 3, 5] == server.streams


# --- any order, any reads ---

SIZES = (0, 1, 11, 5_000, 70_000)


@dataclass
class Asked:
    """What the client said in one call."""

    left: bytes = b""
    messages: list[bytes] = field(default_factory=list)
    finished: bool = False
    closed: bool = False
    over: bool = False


@dataclass
class Play:
    """A client and a server who talk at random, and what each must have heard."""

    client: Client
    calls: dict[int, Asked] = field(default_factory=dict)
    answers: dict[int, bytes] = field(default_factory=dict)
    heard: list[Told] = field(default_factory=list)

    def step(self, what: str, number: int) -> None:
        """One thing happens, if it can; `number` says to whom and how much."""
        live = [stream for stream, call in self.calls.items() if not call.over]
        if what == "open" and len(live) < STREAMS_MAX:
            self.calls[self.client.open()] = Asked()
        elif what == "carry":
            self._carry([number, number // 3, number * 7])
        elif what == "settings":
            self.client.talk.update_settings({4: 200 + number % 90_000})
        elif live:
            self._call(what, live[number % len(live)], number)

    def _call(self, what: str, stream: int, number: int) -> None:
        call, server = self.calls[stream], self.client.server
        size = SIZES[number // 7 % len(SIZES)]
        if what == "write" and not call.finished:
            call.messages.append(bytes([number % 256]) * size)
            call.left += prefixed(call.messages[-1])
            self._push(stream, number % 40)
        elif what == "finish":
            call.finished = True
            self._push(stream, 0)
        elif what == "reset":
            self.client.talk.reset_stream(stream, frames.CANCEL)
            call.over = True
        elif what == "answer" and stream in server.streams:
            if stream not in self.answers:
                server.begin(stream, HEAD)
            answer = prefixed(bytes([number % 256]) * size)
            self.answers[stream] = self.answers.get(stream, b"") + answer
            server.send(stream, answer)

    def _push(self, stream: int, padding: int) -> None:
        """Send what the windows allow."""
        call, talk = self.calls[stream], self.client.talk
        while call.left:
            size = min(talk.local_flow_control_window(stream), talk.max_outbound_frame_size)
            size = min(size - padding - 1, len(call.left))
            if size <= 0:
                return
            talk.send_data(stream, call.left[:size], pad_length=padding)
            call.left = call.left[size:]
        if call.finished and not call.closed:
            call.closed = True
            talk.end_stream(stream)

    def _carry(self, cuts: list[int]) -> None:
        self.heard += self.client.speak(cuts)
        self.client.listen()

    def end(self) -> None:
        """Everybody says what is left; all of it arrives."""
        for _ in range(1000):
            for stream, call in self.calls.items():
                if not call.over:
                    call.finished = True
                    self._push(stream, 0)
            self._carry([])
            if all(call.closed or call.over for call in self.calls.values()):
                break
        for stream in self.client.server.streams:
            if stream not in self.answers:
                self.client.server.begin(stream, HEAD)
            self.client.server.end(stream, OK)
        self.heard += self.client.exchange()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("open", "write", "write", "finish", "reset", "answer", "carry", "settings")),
            st.integers(0, 100_000),
        ),
        min_size=20,
        max_size=80,
    )
)
def test_calls_in_any_order_are_all_heard(steps: list[tuple[str, int]]) -> None:
    """Streams, messages, padding, resets and windows come as they like: each side hears all that was said."""
    play = Play(meet())
    for what, number in steps:
        play.step(what, number)
    play.end()
    for stream, call in play.calls.items():
        heard = [(kind, value) for kind, of, value in play.heard if of == stream]
        messages = [value for kind, value in heard if kind == "message"]
        assert "opened" == heard[0][0]
        if call.over:
            assert ("reset", None) == heard[-1]
            assert messages == call.messages[: len(messages)]
        else:
            assert [("ended", None)] == heard[-1:]
            assert messages == call.messages
            assert play.answers.get(stream, b"") == bytes(play.client.body[stream])
            assert ANSWERED == play.client.headers[stream]
    assert [] == play.client.server.streams


@st.composite
def a_conversation(draw: st.DrawFn) -> bytes:
    """What a client might send: whole calls, interleaved, padded, with headers in several frames."""
    out = [frames.PREFACE, frames.settings({})]
    for stream in range(1, 2 * draw(st.integers(1, 5)), 2):
        cut = draw(st.integers(0, len(BLOCK)))
        flags = frames.PRIORITY if draw(st.booleans()) else 0
        out.append(frames.frame(frames.HEADERS, flags, stream, bytes(5 if flags else 0) + BLOCK[:cut]))
        out.append(frames.frame(frames.CONTINUATION, frames.END_HEADERS, stream, BLOCK[cut:]))
        for size in draw(st.lists(st.sampled_from(SIZES), max_size=3)):
            message = prefixed(bytes([stream]) * size)
            cut = draw(st.integers(0, len(message)))
            pad = draw(st.integers(0, 255))
            out.append(data(stream, message[:cut]))
            out.append(
                frames.frame(frames.DATA, frames.PADDED, stream, bytes([pad]) + message[cut:] + bytes(pad))
            )
            out.append(frames.window_update(0, 1))
        ending = draw(st.sampled_from(("data", "padding", "trailers", "reset", "nothing")))
        if ending == "data":
            out.append(data(stream, b"", last=True))
        elif ending == "padding":
            flags = frames.PADDED | frames.END_STREAM
            out.append(frames.frame(frames.DATA, flags, stream, b"\x03abc"))
        elif ending == "trailers":
            flags = frames.END_HEADERS | frames.END_STREAM
            out.append(frames.frame(frames.HEADERS, flags, stream))
        elif ending == "reset":
            out.append(frames.reset(stream, frames.CANCEL))
        out.append(frames.frame(99, 0, stream, b"unknown") + frames.frame(frames.PRIORITIES, 0, 1, bytes(5)))
    return b"".join(out)


@settings(deadline=None)
@given(a_conversation(), st.lists(st.integers(0, 300_000), max_size=20), st.booleans())
def test_reads_may_cut_anywhere(said: bytes, cuts: list[int], by_byte: bool) -> None:
    """The same events in the same order, however the bytes arrive."""
    whole = told(Connection(limits()).receive(said))
    server = Connection(limits())
    head = min(len(said), 300)
    places = sorted({0, len(said), *(cut % len(said) for cut in cuts), *(range(head) if by_byte else ())})
    parts = [said[begin:end] for begin, end in pairwise(places)]
    assert whole == [event for part in parts for event in told(server.receive(part))]


# --- our own client ---


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=12), st.integers(700, 60_000))
def test_our_two_ends_understand_each_other(sizes: list[int], piece: int) -> None:
    """More calls than streams, messages beyond every window, cut anywhere: each gets its own answer."""
    client, server = Conversation(), Connection(limits())
    server.receive(client.begin())
    server.receive(client.receive(server.take())[1])
    asked = [
        client.call(number, BLOCK, prefixed(bytes([number]) * size)) for number, size in enumerate(sizes)
    ]
    to_server, answers = b"".join(asked), {}
    while to_server:
        for at in range(0, len(to_server), piece):
            for kind, stream, value in told(server.receive(to_server[at : at + piece])):
                if kind == "message":
                    assert isinstance(value, bytes)
                    server.answer(stream, HEAD, prefixed(value + b"!"), OK)
        to_client, to_server = server.take(), b""
        for at in range(0, len(to_client), piece):
            events, more = client.receive(to_client[at : at + piece])
            to_server += more
            answers |= {event.token: event.data for event in events if isinstance(event, Finished)}
    assert {number: prefixed(bytes([number]) * size + b"!") for number, size in enumerate(sizes)} == answers


def test_our_two_ends_talk_in_turn() -> None:
    """An open call: a message, an answer, a message, an answer, an end, an end."""
    client, server = Conversation(), Connection(limits())
    server.receive(client.begin() + client.open("s", BLOCK))
    server.begin(1, HEAD)
    client.receive(server.take())
    for word in (b"one", b"two"):
        assert [("message", 1, word)] == told(server.receive(client.send("s", prefixed(word))))
        server.send(1, prefixed(word))
        assert [Received("s", prefixed(word))] == client.receive(server.take())[0]
    assert [("ended", 1, None)] == told(server.receive(client.finish("s")))
    server.end(1, OK)
    (event,), _ = client.receive(server.take())
    assert isinstance(event, Finished)
    assert {b"grpc-status": b"0"} == event.trailers


@pytest.mark.parametrize("size", [0, 1, 10, 1000])
def test_a_small_message_limit_breaks_off_nobody(size: int) -> None:
    """Until it has read our settings a client may send 65,535 bytes: too much ends its call alone."""
    server = Connection(limits(message_bytes_max=10))
    events = told(
        server.receive(frames.PREFACE + frames.settings({}) + opened(1) + data(1, prefixed(bytes(size))))
    )
    assert ("message" if size <= 10 else "malformed", 1) == events[1][:2]
