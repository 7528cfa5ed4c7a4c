"""Our HTTP/2 against another implementation of it: `h2` plays the server and checks every byte we send."""

from __future__ import annotations

from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http2 import frames
from http2.client import STREAM_WINDOW, Conversation, Finished, Received, Unprocessed
from http2.headers import encode

BLOCK = encode(
    [(":method", "POST"), (":scheme", "http"), (":path", "/p"), (":authority", "a"), ("te", "trailers")]
)


@dataclass
class Server:
    """The other end: answers with headers, a body and trailers, as a gRPC server does."""

    windows: int = 65_535
    streams: int = 100
    talk: h2.connection.H2Connection = field(init=False)
    asked: dict[int, bytearray] = field(default_factory=dict)
    whole: list[int] = field(default_factory=list)
    headers: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    resets: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        form = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.talk = h2.connection.H2Connection(form)
        self.talk.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self.windows,
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.streams,
            },
        )
        self.talk.initiate_connection()

    def receive(self, data: bytes, *, acknowledge: bool = True) -> bytes:
        """Take the client's bytes, which must be correct; give the answer's."""
        for event in self.talk.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.asked[event.stream_id] = bytearray()
                self.headers[event.stream_id] = list(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.asked[event.stream_id] += event.data
                if acknowledge:
                    self.talk.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.whole.append(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.resets.append(event.stream_id)
        out: bytes = self.talk.data_to_send()
        return out

    def answer(self, stream: int, body: bytes, status: str = "0") -> bytes:
        """Headers, body in frames, trailers."""
        self.talk.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        for at in range(0, len(body), 16_000):
            self.talk.send_data(stream, body[at : at + 16_000])
        self.talk.send_headers(stream, [("grpc-status", status)], end_stream=True)
        out: bytes = self.talk.data_to_send()
        return out


def opened(server: Server) -> Conversation:
    """A conversation after both sides' settings."""
    client = Conversation()
    assert not client.ready
    _, out = client.receive(server.receive(client.begin()))
    assert client.ready
    server.receive(out)
    return client


def exchange(client: Conversation, server: Server, to_server: bytes) -> None:
    """Carry bytes to and fro until neither side has any."""
    for _ in range(10_000):
        back = server.receive(to_server)
        _, to_server = client.receive(back)
        if not to_server and not back:
            return
    raise AssertionError("they never come to an end")


def test_a_call_reaches_the_server_and_its_answer_comes_back() -> None:
    """Headers, message and trailers, byte for byte."""
    server = Server()
    client = opened(server)
    server.receive(client.call("first", BLOCK, b"question"))
    assert {1: bytearray(b"question")} == server.asked
    assert [1] == server.whole
    assert (":path", "/p") in server.headers[1]
    events, _ = client.receive(server.answer(1, b"answer"))
    assert [
        Finished(
            "first",
            {b":status": b"200", b"content-type": b"application/grpc"},
            {b"grpc-status": b"0"},
            b"answer",
            None,
        )
    ] == events
    assert [] == client.tokens


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 80_000), min_size=1, max_size=5), st.integers(1_000, 100_000))
def test_messages_of_any_size_pass_any_window(sizes: list[int], window: int) -> None:
    """Flow control holds back what must wait; nothing is lost, doubled or out of order."""
    server = Server(windows=window)
    client = opened(server)
    to_server = b"".join(client.call(at, BLOCK, bytes([at]) * size) for at, size in enumerate(sizes))
    exchange(client, server, to_server)
    assert sorted(server.whole) == [2 * at + 1 for at in range(len(sizes))]
    assert [bytes([at]) * size for at, size in enumerate(sizes)] == [
        bytes(server.asked[2 * at + 1]) for at in range(len(sizes))
    ]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=5), st.integers(1, 5_000))
def test_bytes_may_come_in_any_pieces(sizes: list[int], piece: int) -> None:
    """A frame split anywhere is the same frame."""
    server = Server()
    client = opened(server)
    for at in range(len(sizes)):
        server.receive(client.call(at, BLOCK, b"q"))
    came = b"".join(server.answer(2 * at + 1, bytes([65 + at]) * size) for at, size in enumerate(sizes))
    pieces = [came[at : at + piece] for at in range(0, len(came), piece)]
    events = [event for one in pieces for event in client.receive(one)[0]]
    found = {event.token: event.data for event in events if isinstance(event, Finished)}
    assert {at: bytes([65 + at]) * size for at, size in enumerate(sizes)} == found


def test_more_calls_than_streams_wait_their_turn() -> None:
    """The server's limit is kept; each ended call starts the next."""
    server = Server(streams=2)
    client = opened(server)
    for at in range(4):
        server.receive(client.call(at, BLOCK, b"q"))
    assert [1, 3] == server.whole
    _, out = client.receive(server.answer(1, b"a"))
    server.receive(out)
    assert [1, 3, 5] == server.whole
    client.cancel(3)  # it never had a stream
    assert [1, 2] == client.tokens


def test_a_call_given_up_is_reset_and_its_answer_ignored() -> None:
    """The server is told; what it still sends changes nothing."""
    server = Server()
    client = opened(server)
    server.receive(client.call("a", BLOCK, b"q"))
    late = server.answer(1, b"too late")
    server_saw = client.cancel("a")
    assert b"" == client.cancel("a")
    events, _ = client.receive(late)
    assert [] == events
    assert frames.reset(1, frames.CANCEL) == server_saw


def test_repeated_headers_are_remembered_only_while_their_meaning_lasts() -> None:
    """The dynamic table moves under the same bytes: every answer's status is its own."""
    server = Server()
    client = opened(server)
    statuses = ["0", "0", "8", "0", "14", "8", "0", "0"]
    found = []
    for at, status in enumerate(statuses):
        server.receive(client.call(at, BLOCK, b"q"))
        events, _ = client.receive(server.answer(2 * at + 1, b"", status))
        found += [event.trailers[b"grpc-status"].decode() for event in events if isinstance(event, Finished)]
    assert statuses == found


def test_a_reset_stream_ends_its_call_with_the_code() -> None:
    """The others go on."""
    server = Server()
    client = opened(server)
    for token in ("a", "b"):
        server.receive(client.call(token, BLOCK, b"q"))
    server.talk.reset_stream(1, error_code=2)
    events, _ = client.receive(server.talk.data_to_send())
    assert [("a", 2)] == [(event.token, event.reset) for event in events if isinstance(event, Finished)]
    assert ["b"] == client.tokens


def test_a_refused_stream_can_go_elsewhere() -> None:
    """The server did not look at it, and says so for one call alone."""
    server = Server()
    client = opened(server)
    server.receive(client.call("a", BLOCK, b"q"))
    server.talk.reset_stream(1, error_code=7)
    events, _ = client.receive(server.talk.data_to_send())
    assert [Unprocessed(("a",))] == events


def test_an_answer_before_the_whole_question_ends_the_call() -> None:
    """The rest of the message is not sent any more, and the server is told."""
    server = Server(windows=10)
    client = opened(server)
    server.receive(client.call("a", BLOCK, b"q" * 100), acknowledge=False)
    events, out = client.receive(server.answer(1, b"", "8"))
    assert [b"8"] == [event.trailers[b"grpc-status"] for event in events if isinstance(event, Finished)]
    assert frames.reset(1, frames.CANCEL) == out


def test_after_a_goaway_what_was_not_looked_at_can_go_elsewhere() -> None:
    """Streams up to the last one named are finished here; the rest is given back; nothing new begins."""
    server = Server()
    client = opened(server)
    for token in ("a", "b", "c"):
        server.receive(client.call(token, BLOCK, b"q"))
    going = frames.frame(frames.GOAWAY, 0, 0, (1).to_bytes(4, "big") + (0).to_bytes(4, "big"))
    events, _ = client.receive(going)
    assert [Unprocessed(("b", "c"))] == events
    assert (True, ["a"]) == (client.closing, client.tokens)
    events, _ = client.receive(server.answer(1, b"x"))
    assert ["a"] == [event.token for event in events if isinstance(event, Finished)]


# --- open calls ---


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.integers(1, 40_000), min_size=1, max_size=8),
    st.integers(1_000, 100_000),
    st.integers(0, 8),
)
def test_messages_of_an_open_call_pass_any_window_in_order(sizes: list[int], window: int, at: int) -> None:
    """Several messages on one stream, ended after the last one wherever the caller says so."""
    server = Server(windows=window)
    client = opened(server)
    to_server = client.open("s", BLOCK)
    for number, size in enumerate(sizes):
        to_server += client.send("s", bytes([number]) * 3, bytes([number + 100]) * size)
        if number == at:
            _, more = client.receive(server.receive(to_server))
            to_server = more
    to_server += client.finish("s")
    assert b"" == client.finish("s")
    exchange(client, server, to_server)
    assert [1] == server.whole
    assert b"".join(
        bytes([number]) * 3 + bytes([number + 100]) * size for number, size in enumerate(sizes)
    ) == bytes(server.asked[1])


def test_both_sides_of_an_open_call_speak_in_turn() -> None:
    """What comes is told at once; our side ends first, the server's with trailers."""
    server = Server()
    client = opened(server)
    server.receive(client.open("s", BLOCK))
    server.talk.send_headers(1, [(":status", "200")])
    assert ([], b"") == client.receive(server.talk.data_to_send())
    for word in (b"one", b"two"):
        client.receive(server.receive(client.send("s", b"ask ", word)))
        server.talk.send_data(1, word)
        assert ([Received("s", word)], b"") == client.receive(server.talk.data_to_send())
    assert [] == server.whole
    server.receive(client.finish("s"))
    assert [1] == server.whole
    server.talk.send_headers(1, [("grpc-status", "0")], end_stream=True)
    events, out = client.receive(server.talk.data_to_send())
    assert [Finished("s", {b":status": b"200"}, {b"grpc-status": b"0"}, b"", None)] == events
    assert b"" == out
    assert b"ask oneask two" == bytes(server.asked[1])


def test_a_long_open_call_keeps_its_window_open() -> None:
    """More comes over one stream than its first window holds: the server may go on."""
    server = Server()
    client = opened(server)
    server.receive(client.open("s", BLOCK))
    server.talk.send_headers(1, [(":status", "200")])
    part = bytes(16_000)
    sent = told = 0
    while sent < 2 * STREAM_WINDOW:
        for _ in range(100):
            server.talk.send_data(1, part)
            sent += len(part)
        events, out = client.receive(server.talk.data_to_send())
        told += sum(len(event.data) for event in events if isinstance(event, Received))
        server.receive(out)
    assert sent == told


def test_an_open_call_that_the_server_ends_is_given_up() -> None:
    """Trailers while our side still speaks: the server is told that no more is coming."""
    server = Server()
    client = opened(server)
    server.receive(client.open("s", BLOCK))
    events, out = client.receive(server.answer(1, b"", "14"))
    assert [b"14"] == [event.trailers[b"grpc-status"] for event in events if isinstance(event, Finished)]
    assert frames.reset(1, frames.CANCEL) == out
    assert b"" == client.send("s", b"more")


def test_nothing_follows_the_last_message() -> None:
    """A caller's fault is its own error, not the server's."""
    client = opened(Server())
    client.open("s", BLOCK)
    client.finish("s")
    with pytest.raises(ValueError, match="after the last one"):
        client.send("s", b"more")


def test_a_message_that_is_held_back_can_be_withdrawn() -> None:
    """Whole or not at all: what has begun goes on, what has not is never sent."""
    server = Server(windows=10)
    client = opened(server)
    out = client.open("s", BLOCK)
    for lead in (b"a", b"b", b"c"):
        out += client.send("s", lead, lead * 19)
    assert not client.withdraw("s", b"a")
    assert client.withdraw("s", b"b")
    assert not client.withdraw("s", b"b")
    assert not client.withdraw("unknown", b"c")
    out += client.finish("s")
    exchange(client, server, out)
    assert (b"a" * 20 + b"c" * 20, [1]) == (bytes(server.asked[1]), server.whole)


def test_an_open_call_waits_for_a_free_stream_with_all_it_has_to_say() -> None:
    """At the server's limit the messages are kept, and go with the stream."""
    server = Server(streams=1)
    client = opened(server)
    server.receive(client.call("a", BLOCK, b"q"))
    assert b"" == client.open("s", BLOCK) + client.send("s", b"1", b"2") + client.finish("s")
    _, out = client.receive(server.answer(1, b"x"))
    server.receive(out)
    assert ([1, 3], b"12") == (server.whole, bytes(server.asked[3]))


def test_an_open_call_given_up_is_reset() -> None:
    """With what flow control holds back; other calls go on."""
    server = Server(windows=10)
    client = opened(server)
    server.receive(client.open("s", BLOCK) + client.send("s", b"a" * 50), acknowledge=False)
    server.receive(client.cancel("s"))
    server.receive(client.call("b", BLOCK, b"q"))
    assert ([1], [3], []) == (server.resets, server.whole, client.receive(server.answer(3, b"x"))[0][1:])


# --- the connection ---


def test_pings_are_answered() -> None:
    """Servers measure with them, and hang up on the silent."""
    server = Server()
    client = opened(server)
    server.talk.ping(b"12345678")
    _, out = client.receive(server.talk.data_to_send())
    assert frames.frame(frames.PING, frames.ACK, 0, b"12345678") == out


@pytest.mark.parametrize(
    "garbage",
    [
        frames.head(2_000_000, frames.DATA, 0, 1),
        frames.frame(frames.CONTINUATION, 0, 1, b""),
        frames.frame(frames.HEADERS, 0, 1, b"") + frames.frame(frames.DATA, 0, 1, b""),
        frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
        frames.frame(frames.WINDOW_UPDATE, 0, 0, b""),
        frames.frame(frames.DATA, frames.PADDED, 1, b"\x09a"),
    ],
    ids=["too long", "continuation of nothing", "interrupted", "undecodable", "too short", "all padding"],
)
def test_a_peer_that_breaks_the_protocol_is_noticed(garbage: bytes) -> None:
    """One error, whatever it was: the connection is of no more use."""
    client = opened(Server())
    with pytest.raises(frames.ProtocolError):
        client.receive(garbage)
