"""Peers who break the rules, or keep them and mean harm: what they are told, and how little it costs us."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http2 import frames
from http2.frames import ProtocolError
from http2.headers import encode, literal
from http2.messages import prefixed
from http2.server import CONTINUATIONS_MAX, SETTINGS_MAX, UNSENT_BYTES_MAX, Connection
from tests.unit.http2.held import held_bytes
from tests.unit.http2.peers import (
    BLOCK,
    HEAD,
    OK,
    STREAMS_MAX,
    begun,
    data,
    limits,
    opened,
    sent,
    told,
)

OPEN, HALF_CLOSED, CLOSED, IDLE = 1, 3, 5, 7
END = frames.END_HEADERS | frames.END_STREAM
HELD_BYTES_MAX = 400_000
"""By a connection with STREAMS_MAX streams, apart from the room for messages that all connections share."""


def in_use() -> Connection:
    """A connection with a stream in each state; nothing is left to send."""
    server = begun()
    server.receive(opened(OPEN) + opened(HALF_CLOSED, last=True) + opened(CLOSED) + frames.reset(CLOSED, 8))
    server.take()
    return server


def setting(name: int, value: int) -> bytes:
    """SETTINGS with one of them."""
    return frames.settings({name: value})


def part(stream: int, payload: bytes = BLOCK) -> bytes:
    """The beginning of a header block."""
    return frames.frame(frames.HEADERS, 0, stream, payload)


def more(stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """It goes on."""
    return frames.frame(frames.CONTINUATION, flags, stream, payload)


BREAKS_THE_CONNECTION = {
    "data without a stream": (data(0, b"x"), frames.PROTOCOL_ERROR),
    "data before headers": (data(IDLE, b"x"), frames.PROTOCOL_ERROR),
    "data on a stream that only we could open": (data(2, b"x"), frames.PROTOCOL_ERROR),
    "headers without a stream": (opened(0), frames.PROTOCOL_ERROR),
    "headers on an even stream": (opened(8), frames.PROTOCOL_ERROR),
    "a stream opened again": (opened(CLOSED), frames.PROTOCOL_ERROR),
    "a stream passed over": (opened(11) + opened(9), frames.PROTOCOL_ERROR),
    "a reset before headers": (frames.reset(IDLE, 8), frames.PROTOCOL_ERROR),
    "a reset without a stream": (frames.reset(0, 8), frames.PROTOCOL_ERROR),
    "a reset of an even stream": (frames.reset(2, 8), frames.PROTOCOL_ERROR),
    "a window before headers": (frames.window_update(IDLE, 1), frames.PROTOCOL_ERROR),
    "a window that grows by nothing": (frames.window_update(0, 0), frames.PROTOCOL_ERROR),
    "a stream's window that grows by nothing": (frames.window_update(OPEN, 0), frames.PROTOCOL_ERROR),
    "a window that overflows": (frames.window_update(0, frames.WINDOW_MAX), frames.FLOW_CONTROL_ERROR),
    "a window of five bytes": (
        frames.frame(frames.WINDOW_UPDATE, 0, 0, bytes(5)),
        frames.FRAME_SIZE_ERROR,
    ),
    "settings of a stream": (frames.frame(frames.SETTINGS, 0, OPEN), frames.PROTOCOL_ERROR),
    "half a setting": (frames.frame(frames.SETTINGS, 0, 0, bytes(5)), frames.FRAME_SIZE_ERROR),
    "an acknowledgement with settings": (
        frames.frame(frames.SETTINGS, frames.ACK, 0, bytes(6)),
        frames.FRAME_SIZE_ERROR,
    ),
    "push, twice enabled": (setting(frames.ENABLE_PUSH, 2), frames.PROTOCOL_ERROR),
    "an impossible window": (setting(frames.INITIAL_WINDOW_SIZE, 1 << 31), frames.FLOW_CONTROL_ERROR),
    "frames too short": (setting(frames.MAX_FRAME_SIZE, 16_383), frames.PROTOCOL_ERROR),
    "frames too long": (setting(frames.MAX_FRAME_SIZE, 1 << 24), frames.PROTOCOL_ERROR),
    "a ping of a stream": (frames.frame(frames.PING, 0, OPEN, bytes(8)), frames.PROTOCOL_ERROR),
    "a short ping": (frames.frame(frames.PING, 0, 0, bytes(7)), frames.FRAME_SIZE_ERROR),
    "a goodbye of a stream": (frames.frame(frames.GOAWAY, 0, OPEN, bytes(8)), frames.PROTOCOL_ERROR),
    "a short goodbye": (frames.frame(frames.GOAWAY, 0, 0, bytes(7)), frames.FRAME_SIZE_ERROR),
    "a push": (frames.frame(frames.PUSH_PROMISE, frames.END_HEADERS, OPEN, bytes(4)), frames.PROTOCOL_ERROR),
    "a priority without a stream": (
        frames.frame(frames.PRIORITIES, 0, 0, bytes(5)),
        frames.PROTOCOL_ERROR,
    ),
    "a block that never began": (more(OPEN), frames.PROTOCOL_ERROR),
    "a block interrupted by data": (part(IDLE) + data(OPEN, b"x"), frames.PROTOCOL_ERROR),
    "a block interrupted by another": (part(IDLE) + part(9), frames.PROTOCOL_ERROR),
    "a block interrupted by an unknown frame": (
        part(IDLE) + frames.frame(99, 0, IDLE),
        frames.PROTOCOL_ERROR,
    ),
    "a block that goes on elsewhere": (part(IDLE) + more(9), frames.PROTOCOL_ERROR),
    "a block of too many frames": (part(IDLE) + more(IDLE) * CONTINUATIONS_MAX, frames.ENHANCE_YOUR_CALM),
    "a block of too many bytes": (
        part(IDLE, bytes(30_000)) + more(IDLE, bytes(30_000)) * 2,
        frames.ENHANCE_YOUR_CALM,
    ),
    "a block that means nothing": (
        frames.frame(frames.HEADERS, END, IDLE, b"\xff\xff\xff\xff\xff\xff"),
        frames.COMPRESSION_ERROR,
    ),
    "a block that means too much": (
        frames.frame(frames.HEADERS, END, IDLE, b"\x40\x01n\x7f\x89\x17" + bytes(3080) + b"\xbe" * 30),
        frames.ENHANCE_YOUR_CALM,
    ),
    "a broken block where nobody listens": (
        frames.frame(frames.HEADERS, END, CLOSED, b"\xff\xff\xff\xff\xff\xff"),
        frames.COMPRESSION_ERROR,
    ),
    "a frame of two megabytes": (frames.head(2 << 20, frames.DATA, 0, OPEN), frames.FRAME_SIZE_ERROR),
    "more data than the window": (
        data(OPEN, bytes(250_000)),
        frames.FLOW_CONTROL_ERROR,
    ),
}


@pytest.mark.parametrize("what", BREAKS_THE_CONNECTION)
def test_what_breaks_the_connection(what: str) -> None:
    """It ends with the code of RFC 9113, and says which streams it has seen."""
    wrong, code = BREAKS_THE_CONNECTION[what]
    server = in_use()
    with pytest.raises(ProtocolError) as caught:
        server.receive(wrong)
    assert code == caught.value.code
    server.break_off(caught.value)
    *_, goodbye = sent(server)
    assert (frames.GOAWAY, code) == (goodbye.kind, frames.number(goodbye.payload, 4))
    assert frames.number(goodbye.payload) in (CLOSED, IDLE, 11)


BREAKS_A_STREAM = {
    "data after the end": (HALF_CLOSED, data(HALF_CLOSED, b"x"), frames.STREAM_CLOSED),
    "headers after the end": (HALF_CLOSED, opened(HALF_CLOSED), frames.STREAM_CLOSED),
    "trailers after the end": (
        HALF_CLOSED,
        frames.frame(frames.HEADERS, END, HALF_CLOSED),
        frames.STREAM_CLOSED,
    ),
    "headers in the middle": (
        OPEN,
        frames.frame(frames.HEADERS, frames.END_HEADERS, OPEN),
        frames.PROTOCOL_ERROR,
    ),
    "a request in the middle": (OPEN, opened(OPEN, last=True), frames.PROTOCOL_ERROR),
    "a window that overflows": (
        OPEN,
        frames.window_update(OPEN, frames.WINDOW_MAX),
        frames.FLOW_CONTROL_ERROR,
    ),
    "headers that are no request": (
        IDLE,
        frames.frame(frames.HEADERS, END, IDLE, encode([(":method", "POST"), (":path", "/p")])),
        frames.PROTOCOL_ERROR,
    ),
    "headers that are too long": (
        IDLE,
        frames.frame(frames.HEADERS, END, IDLE, BLOCK + literal(b"x", bytes(17_000))),
        frames.ENHANCE_YOUR_CALM,
    ),
    "no headers at all": (IDLE, frames.frame(frames.HEADERS, END, IDLE), frames.PROTOCOL_ERROR),
    "a header in capitals": (
        IDLE,
        frames.frame(frames.HEADERS, END, IDLE, BLOCK + literal(b"Shout", b"")),
        frames.PROTOCOL_ERROR,
    ),
}


@pytest.mark.parametrize("what", BREAKS_A_STREAM)
def test_what_breaks_a_stream(what: str) -> None:
    """It alone is reset, and its owner told; whatever else it sends is nothing; the others go on."""
    stream, wrong, code = BREAKS_A_STREAM[what]
    server = in_use()
    events = told(server.receive(wrong))
    assert ([] if stream == IDLE else [("reset", stream, None)]) == events
    assert [(frames.RST_STREAM, stream, code)] == [
        (one.kind, one.stream, frames.number(one.payload)) for one in sent(server)
    ]
    assert [] == server.receive(data(stream, b"late") + frames.window_update(stream, 1))
    assert [] == server.receive(frames.reset(stream, 8))
    assert stream not in server.streams
    other = OPEN + HALF_CLOSED - stream if stream != IDLE else OPEN
    server.answer(other, HEAD, prefixed(b"a"), OK)
    assert other in {one.stream for one in sent(server)}


MEANS_NOTHING = {
    "priority of any stream": frames.frame(frames.PRIORITIES, 0, OPEN, bytes(5))
    + frames.frame(frames.PRIORITIES, 0, 99, bytes(5)),
    "a stream that depends on itself": frames.frame(frames.PRIORITIES, 0, OPEN, b"\0\0\0\1\0"),
    "frames of unknown kinds": b"".join(
        frames.frame(kind, 255, stream, b"?") for kind in (10, 99, 255) for stream in (0, 1, 2, 99)
    ),
    "a window for who is gone": frames.window_update(CLOSED, 1),
    "a reset of who is gone": frames.reset(CLOSED, 8),
    "data of who is gone": data(CLOSED, bytes(1000), last=True),
    "trailers of who is gone": frames.frame(frames.HEADERS, END, CLOSED, literal(b"x", b"1")),
    "a goodbye": frames.goaway(0, frames.NO_ERROR) + frames.goaway(0, frames.INTERNAL_ERROR),
    "an answer to no ping": frames.frame(frames.PING, frames.ACK, 0, bytes(8)),
    "an acknowledgement of nothing": frames.frame(frames.SETTINGS, frames.ACK, 0),
    "empty data": data(OPEN, b"") * 100,
    "padding": frames.frame(frames.DATA, frames.PADDED, OPEN, b"\xff" + bytes(255)) * 10,
}


@pytest.mark.parametrize("what", MEANS_NOTHING)
def test_what_means_nothing(what: str) -> None:
    """It is taken, answered by nothing, and changes nothing."""
    server = in_use()
    assert [] == server.receive(MEANS_NOTHING[what])
    assert (b"", [OPEN, HALF_CLOSED]) == (server.take(), server.streams)
    assert [("message", OPEN, b"q")] == told(server.receive(data(OPEN, prefixed(b"q"))))


def test_settings_that_mean_nothing_are_acknowledged() -> None:
    """Unknown ones (RFC 9113, 6.5.2), and the table's size, which binds us to nothing: we never fill it."""
    server = in_use()
    assert [] == server.receive(frames.settings({1: 0, 3: 0, 6: 1, 8: 1, 0xFFFF: 1, frames.ENABLE_PUSH: 1}))
    assert frames.frame(frames.SETTINGS, frames.ACK, 0) == server.take()


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /p HTTP/1.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0",
        frames.PREFACE + opened(1),
        frames.PREFACE + frames.frame(frames.SETTINGS, frames.ACK, 0),
        frames.PREFACE + frames.frame(99, 0, 0),
    ],
    ids=["HTTP/1.1", "HTTP/1.0", "another preface", "TLS", "zero", "headers", "an answer", "unknown"],
)
@pytest.mark.parametrize("by_byte", [False, True])
def test_who_does_not_speak_http2_is_told_at_once(said: bytes, by_byte: bool) -> None:
    """By the first byte that is wrong: nobody waits for more."""
    server, size = Connection(limits()), 1 if by_byte else len(said)
    with pytest.raises(ProtocolError) as caught:
        deque((server.receive(said[at : at + size]) for at in range(0, len(said), size)), 0)
    assert frames.PROTOCOL_ERROR == caught.value.code


def test_a_reset_after_the_end_gives_the_call_up() -> None:
    """The client has said all it had to say, and does not want the answer."""
    server = in_use()
    assert [("reset", HALF_CLOSED, None)] == told(server.receive(frames.reset(HALF_CLOSED, 8)))


# --- what harm costs ---


def rapid_reset(at: int) -> bytes:
    """A call, given up at once (CVE-2023-44487)."""
    return opened(at, last=True) + frames.reset(at, frames.CANCEL)


def unread_and_reset(at: int) -> bytes:
    """A call whose answer finds no window, given up when it waits."""
    return frames.reset(at - 2, frames.CANCEL) + opened(at, last=True) if at > 1 else opened(1, last=True)


HARMS: dict[str, Callable[[int], bytes]] = {
    "rapid reset": rapid_reset,
    "answers left unread": unread_and_reset,
    "answers left unread by all": lambda at: (
        (setting(frames.INITIAL_WINDOW_SIZE, 1 << 30) if at == 1 else b"") + unread_and_reset(at)
    ),
    "more streams than allowed": lambda at: opened(at),
    "malformed requests": lambda at: frames.frame(frames.HEADERS, END, at),
    "calls that break a rule": lambda at: opened(at, last=True) + data(at, b"x"),
    "messages that never end": lambda at: opened(at) + data(at, b"\0\0\x01\0\0x"),
    "headers that never repeat": lambda at: frames.frame(
        frames.HEADERS, END, at, BLOCK + literal(b"n", b"%0400d" % at)
    ),
    "headers that fill the table": lambda at: (
        frames.frame(frames.HEADERS, END, at, b"\x40\x01n\x7f\x89\x01" + b"%0264d" % at + BLOCK)
        + frames.reset(at, 8)
    ),
    "pings": lambda at: frames.frame(frames.PING, 0, 0, at.to_bytes(8, "big")),
    "settings": lambda at: setting(frames.INITIAL_WINDOW_SIZE, at),
    "empty data": lambda at: (opened(1) if at == 1 else b"") + data(1, b""),
    "priorities": lambda at: frames.frame(frames.PRIORITIES, 0, at, bytes(5)),
    "unknown frames": lambda at: frames.frame(200, 0, at, bytes(1000)),
    "goodbyes": lambda at: frames.goaway(at, 0),
    "windows of who is gone": lambda at: (rapid_reset(1) if at == 1 else b"") + frames.window_update(1, 1),
}


@pytest.mark.parametrize("harm", HARMS)
def test_harm_is_held_to_little_memory(harm: str) -> None:
    """However long it goes on, for a peer who reads; and it is answered by little more than it was."""
    server = begun(limits(room_bytes=100_000))
    server.receive(setting(frames.INITIAL_WINDOW_SIZE, 0))
    said = heard = 0
    for at in range(1, 6000, 2):
        if at % 1000 == 1:
            server.wait()
        wrong = HARMS[harm](at)
        for event in told(server.receive(wrong)):
            if event[0] == "ended":
                server.answer(event[1], HEAD, prefixed(bytes(1000)), OK)
        said += len(wrong)
        heard += len(server.take())
    assert held_bytes(server) < HELD_BYTES_MAX
    assert heard < 2 * said + 1000
    assert len(server.streams) <= STREAMS_MAX


def test_a_padded_frame_is_not_waited_for() -> None:
    """A megabyte of DATA that says it is padded comes byte by byte: none of it is kept."""
    server = begun(limits(message_bytes_max=2 << 20))
    server.receive(opened(1) + frames.head(1 << 20, frames.DATA, frames.PADDED, 1) + b"\0")
    for _ in range(50):
        server.receive(bytes(10_000))
    assert held_bytes(server) < HELD_BYTES_MAX


def test_unread_answers_are_bounded_by_connection() -> None:
    """Beyond it no call begins, and calls that last are told how much is unread; what is read makes room."""
    server = begun()
    server.receive(setting(frames.INITIAL_WINDOW_SIZE, 0))
    server.receive(opened(1, last=True) + opened(3, last=True) + opened(5, last=True))
    for stream in (1, 3):
        server.begin(stream, HEAD)
        server.send(stream, bytes(UNSENT_BYTES_MAX // 2))
    assert (UNSENT_BYTES_MAX // 2, 0) == (server.unsent_bytes(1), server.unsent_bytes(5))
    server.begin(5, HEAD)
    server.send(5, b"x")
    assert UNSENT_BYTES_MAX + 1 == server.unsent_bytes(1) == server.unsent_bytes(5)
    server.take()
    assert [] == server.receive(opened(7, last=True))
    assert frames.reset(7, frames.REFUSED_STREAM) == server.take()
    server.receive(frames.window_update(5, 1))
    assert (UNSENT_BYTES_MAX // 2, 0) == (server.unsent_bytes(1), server.unsent_bytes(5))
    assert "opened" == told(server.receive(opened(9, last=True)))[0][0]
    server.drop(1)
    server.receive(frames.reset(3, 8))
    server.send(5, bytes(UNSENT_BYTES_MAX))
    assert UNSENT_BYTES_MAX == server.unsent_bytes(5)


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, ours and the interpreter's: work, without a clock."""
    count = 0

    def note(_frame: object, what: str, _about: object) -> None:
        nonlocal count
        count += what in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def with_blocked(streams: int, window: int) -> Connection:
    """So many calls, whose answers wait: for their own window (0), or for the connection's."""
    server = begun(limits(streams_max=streams))
    server.receive(setting(frames.INITIAL_WINDOW_SIZE, window))
    for at in range(streams):
        server.receive(opened(2 * at + 1, last=True))
        server.answer(2 * at + 1, HEAD, prefixed(bytes(100_000)), OK)
    server.take()
    return server


@pytest.mark.parametrize("window", [0, 1 << 20])
def test_a_window_costs_the_same_whoever_waits(window: int) -> None:
    """A thousand waiting calls make a window's growth no dearer than one does."""
    flood = frames.window_update(0, 1) * 200
    one, many = (with_blocked(streams, window) for streams in (1, 1000))
    assert calls(lambda: many.receive(flood)) < 1.2 * calls(lambda: one.receive(flood)) + 100


def test_settings_are_counted() -> None:
    """One that gives a byte to each of a thousand calls costs as much as they do; looks are far apart."""
    server = with_blocked(1000, 1)
    for _ in range(2):
        server.wait()
        for at in range(SETTINGS_MAX):
            server.receive(setting(frames.INITIAL_WINDOW_SIZE, at % 2))
    with pytest.raises(ProtocolError, match="again and again") as caught:
        server.receive(setting(frames.INITIAL_WINDOW_SIZE, 0))
    assert frames.ENHANCE_YOUR_CALM == caught.value.code


# --- any bytes at all ---

PIECES = st.one_of(
    st.binary(max_size=40),
    st.builds(
        frames.frame,
        st.integers(0, 11),
        st.integers(0, 255),
        st.integers(0, 12),
        st.binary(max_size=300),
    ),
    st.builds(opened, st.integers(0, 25), last=st.booleans()),
    st.builds(data, st.integers(0, 25), st.integers(0, 900).map(lambda size: prefixed(bytes(size)))),
    st.builds(frames.settings, st.dictionaries(st.integers(1, 6), st.integers(0, (1 << 32) - 1))),
    st.builds(frames.window_update, st.integers(0, 25), st.integers(0, frames.WINDOW_MAX)),
    st.builds(frames.reset, st.integers(0, 25), st.integers(0, 20)),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, min_size=5, max_size=40), st.lists(st.integers(0, 20_000), max_size=6), st.data())
def test_any_bytes_are_calls_or_an_error(pieces: list[bytes], cuts: list[int], draw: st.DataObject) -> None:
    """Nothing but ProtocolError is ever raised, little is held, and what we say is right in itself."""
    server = begun(limits(room_bytes=20_000))
    said = bytearray(b"".join(pieces))
    for _ in range(draw.draw(st.integers(0, 3))):
        if said:
            at = draw.draw(st.integers(0, len(said) - 1))
            said[at : at + draw.draw(st.integers(0, 3))] = draw.draw(st.binary(max_size=3))
    places = sorted({0, len(said), *(cut % (len(said) + 1) for cut in cuts)})
    out = b""
    with suppress(ProtocolError):
        for begin, end in pairwise(places):
            for kind, stream, _ in told(server.receive(bytes(said[begin:end]))):
                if kind == "opened":
                    server.begin(stream, HEAD)
                elif kind == "message":
                    server.send(stream, prefixed(bytes(500)))
                elif kind in ("ended", "malformed"):
                    server.end(stream, OK)
            out += server.take()
            assert held_bytes(server) < HELD_BYTES_MAX
            assert len(server.streams) <= STREAMS_MAX
    list(frames.Reader(1 << 24).feed(out))
