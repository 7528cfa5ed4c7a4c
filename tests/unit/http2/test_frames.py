"""Bytes to frames: cut anywhere, padded or not, and no more of them kept than one short frame."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http2 import frames
from http2.frames import Frame, ProtocolError, Reader
from tests.unit.http2.held import held_bytes

DATA_BYTES_MAX = 60_000

Pieces = list[tuple[int, int, int, bytes]]


def padded(kind: int, flags: int, stream: int, payload: bytes, padding: int) -> bytes:
    """A frame with so much padding."""
    body = bytes([padding]) + payload + bytes(padding)
    return frames.frame(kind, flags | frames.PADDED, stream, body)


def joined(found: list[Frame]) -> Pieces:
    """Kind, flags that matter, stream, payload; DATA of one stream that follows DATA is joined to it."""
    out: Pieces = []
    for one in found:
        flags = one.flags & (frames.END_STREAM | frames.END_HEADERS)
        part = (one.kind, flags, one.stream, bytes(one.payload))
        if out and one.kind == frames.DATA and out[-1][0] == frames.DATA and out[-1][2] == one.stream:
            part = (frames.DATA, out[-1][1] | flags, one.stream, out[-1][3] + part[3])
            out.pop()
        out.append(part)
    return out


def read(reader: Reader, data: bytes, cuts: list[int]) -> list[Frame]:
    """Feed a stream of bytes cut at these places."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [one for begin, end in pairwise(places) for one in reader.feed(memoryview(data)[begin:end])]


LENGTHS = {frames.PRIORITIES: 5, frames.RST_STREAM: 4, frames.PING: 8, frames.WINDOW_UPDATE: 4}


@st.composite
def a_frame(draw: st.DrawFn) -> bytes:
    """A frame that is right in itself."""
    kind = draw(st.sampled_from((0, 0, 0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 255)))
    size = LENGTHS.get(kind, draw(st.integers(0, 700)))
    payload = bytes(at % 251 for at in range(size))
    flags = draw(st.sampled_from((0, frames.END_STREAM, frames.END_HEADERS)))
    stream = draw(st.integers(0, 5))
    if kind in (frames.DATA, frames.HEADERS) and draw(st.booleans()):
        return padded(kind, flags, stream, payload, draw(st.integers(0, 255)))
    return frames.frame(kind, flags, stream, payload)


@given(st.lists(a_frame(), max_size=8), st.lists(st.integers(0, 10_000), max_size=12))
def test_a_stream_of_bytes_may_be_cut_anywhere(sent: list[bytes], cuts: list[int]) -> None:
    """The same frames come of it, and flow control counts the same bytes: padding too."""
    data = b"".join(sent)
    whole, cut = read(Reader(DATA_BYTES_MAX), data, []), read(Reader(DATA_BYTES_MAX), data, cuts)
    assert joined(whole) == joined(cut)
    assert sum(one.size for one in whole) == sum(one.size for one in cut)
    assert sum(map(len, sent)) == sum(one.size for one in cut) + 9 * len(sent)


@given(st.lists(a_frame(), max_size=8))
def test_a_byte_at_a_time_is_a_stream_too(sent: list[bytes]) -> None:
    """Whatever the shortest reads, nothing is lost."""
    data = b"".join(sent)
    reader = Reader(DATA_BYTES_MAX)
    assert joined(read(Reader(DATA_BYTES_MAX), data, [])) == joined(
        [one for at in range(len(data)) for one in reader.feed(data[at : at + 1])]
    )


def test_a_frame_says_what_was_sent() -> None:
    """Kind, flags, stream, payload; padding and priority are gone, and count."""
    data = (
        frames.frame(frames.DATA, frames.END_STREAM, 3, b"abc")
        + padded(frames.DATA, 0, 5, b"de", 7)
        + frames.frame(frames.HEADERS, frames.END_HEADERS | frames.PRIORITY, 7, b"\0\0\0\0\x10f")
        + padded(frames.HEADERS, frames.PRIORITY, 9, b"\0\0\0\0\x10gh", 2)
    )
    assert [
        (frames.DATA, 3, b"abc", 3),
        (frames.DATA, 5, b"de", 10),
        (frames.HEADERS, 7, b"f", 6),
        (frames.HEADERS, 9, b"gh", 10),
    ] == [(one.kind, one.stream, bytes(one.payload), one.size) for one in Reader(100).feed(data)]


def test_a_long_data_frame_is_told_as_it_comes() -> None:
    """Its end is told with its last byte; nobody waits for it whole."""
    reader = Reader(1 << 20)
    data = frames.frame(frames.DATA, frames.END_STREAM, 1, bytes(1 << 20))
    (first,) = reader.feed(data[: 1 << 19])
    (second,) = reader.feed(data[1 << 19 :])
    assert ((1 << 19) - 9, 0) == (first.size, first.flags)
    assert ((1 << 19) + 9, frames.END_STREAM) == (second.size, second.flags)


@pytest.mark.parametrize("kind", range(12))
def test_no_long_frame_is_kept(kind: int) -> None:
    """What is waited for is a short frame at most; a longer one is an error, or DATA, which is passed on."""
    reader = Reader(1 << 20)
    head = frames.head(1 << 20, kind, frames.PADDED, 1)
    kept = 0
    try:
        for part in (head, b"\xff", *[bytes(1000)] * 1000):
            list(reader.feed(part))
            kept = max(kept, held_bytes(reader))
    except ProtocolError:
        assert frames.DATA != kind
    assert kept < frames.CONTROL_BYTES_MAX + 4000


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frames.head(DATA_BYTES_MAX + 1, frames.DATA, 0, 1), frames.FRAME_SIZE_ERROR),
        (frames.head(frames.CONTROL_BYTES_MAX + 1, frames.HEADERS, 0, 1), frames.FRAME_SIZE_ERROR),
        (frames.head(frames.CONTROL_BYTES_MAX + 1, 77, 0, 1), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.PRIORITIES, 0, 1, bytes(4)), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.RST_STREAM, 0, 1, bytes(3)), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.RST_STREAM, 0, 1, bytes(5)), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.PING, 0, 0, bytes(7)), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.PING, 0, 0, bytes(9)), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.WINDOW_UPDATE, 0, 0, bytes(5)), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.DATA, frames.PADDED, 1), frames.PROTOCOL_ERROR),
        (frames.frame(frames.DATA, frames.PADDED, 1, b"\x03ab"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, frames.PADDED, 1), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, frames.PADDED, 1, b"\x02a"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, frames.PRIORITY, 1, b"1234"), frames.FRAME_SIZE_ERROR),
        (
            frames.frame(frames.HEADERS, frames.PRIORITY | frames.PADDED, 1, b"\x0112345"),
            frames.PROTOCOL_ERROR,
        ),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else None,
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_frame_of_an_impossible_length_is_an_error(data: bytes, code: int, whole: bool) -> None:
    """Too long, not as long as its kind is, or with more padding than it has bytes."""
    cuts = [] if whole else list(range(len(data)))
    with pytest.raises(ProtocolError) as caught:
        read(Reader(DATA_BYTES_MAX), data, cuts)
    assert code == caught.value.code


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_garbage_is_frames_or_an_error(parts: list[bytes]) -> None:
    """Nothing else is ever raised."""
    reader = Reader(100)
    try:
        for part in parts:
            list(reader.feed(part))
    except ProtocolError:
        pass


def test_a_number_has_31_bits() -> None:
    """The highest one is reserved, and a shorter payload holds none."""
    assert 0x7FFFFFFF == frames.number(b"\xff\xff\xff\xff")
    assert 5 == frames.number(b"\0\0\0\0\x80\0\0\x05", 4)
    with pytest.raises(ProtocolError, match="as long as its kind"):
        frames.number(b"\0\0\0")
