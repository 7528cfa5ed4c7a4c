"""Bytes of one stream to gRPC's messages: cut anywhere, bounded in memory by what has really come."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http2.messages import (
    PREFIX,
    CompressedError,
    MessageError,
    MessageReader,
    NoRoomError,
    Room,
    SlowError,
    TooLongError,
    prefixed,
)
from tests.unit.http2.held import held_bytes

BYTES_MAX = 8 << 20
ROOM = 32 << 20


def reader(room: Room | None = None) -> MessageReader:
    """One of a roomy process, unless said otherwise."""
    return MessageReader(BYTES_MAX, room or Room(ROOM))


@given(
    st.lists(st.integers(0, 30_000), max_size=6),
    st.lists(st.integers(0, 200_000), max_size=12),
)
def test_messages_may_be_cut_anywhere(sizes: list[int], cuts: list[int]) -> None:
    """Each is whole and in order, refers to nothing that was fed, and holds no room when it is told."""
    room = Room(ROOM)
    sent = [bytes([at]) * size for at, size in enumerate(sizes)]
    data = bytearray(b"".join(map(prefixed, sent)))
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    found, one = [], reader(room)
    for begin, end in pairwise(places):
        part = data[begin:end]
        found += list(one.feed(memoryview(part)))
        part[:] = bytes(len(part))
    assert sent == [bytes(message) for message in found]
    assert (True, 0) == (one.between, room.used)


def test_a_message_under_way_takes_room_until_it_is_given_up() -> None:
    """`close` gives back what is held, once."""
    room = Room(ROOM)
    one = reader(room)
    assert [] == list(one.feed(prefixed(bytes(1000))[:-1]))
    assert not one.between
    assert room.used == 1000
    one.close()
    one.close()
    assert 0 == room.used


def test_a_part_of_a_prefix_is_a_message_under_way() -> None:
    """The stream may not end there."""
    one = reader()
    assert [] == list(one.feed(b"\0\0\0"))
    assert not one.between


@pytest.mark.parametrize("came", [0, 1, 1000, 100_000, 3_000_000])
def test_a_claim_takes_no_memory(came: int) -> None:
    """A prefix may say 8 MiB: what is held, touched or not, follows what has come."""
    room = Room(ROOM)
    one = reader(room)
    for part in (b"\0" + BYTES_MAX.to_bytes(4, "big"), *[bytes(100)] * (came // 100), bytes(came % 100)):
        assert [] == list(one.feed(part))
    assert room.used <= max(4096, 4 * came + 400)
    assert held_bytes(one) < room.used + 1000


def test_a_dribbled_message_is_put_together_in_linear_time() -> None:
    """Byte by byte its memory moves a few times, not a thousand: it grows fourfold."""
    room = Room(ROOM)
    one, sizes = reader(room), set()
    for byte in prefixed(bytes(100_000))[:-1]:
        list(one.feed(bytes((byte,))))
        sizes.add(room.used)
    assert len(sizes) < 6


def test_a_full_room_takes_no_more() -> None:
    """Neither a message that begins nor one that goes on, on whatever stream; a whole one needs no room."""
    room = Room(10_000)
    others = [reader(room) for _ in range(3)]
    for one in others[:2]:
        list(one.feed(prefixed(bytes(6000))[:-1]))
    assert room.full
    with pytest.raises(NoRoomError, match="10000 bytes"):
        list(others[2].feed(prefixed(b"12345")[:-1]))
    assert [b"12345"] == list(reader(room).feed(prefixed(b"12345")))
    others[0].close()
    others[1].close()
    assert 0 == room.used


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40_000)), max_size=60))
def test_the_room_bounds_what_all_streams_hold(fed: list[tuple[int, int]]) -> None:
    """However they share it: at most one message's first quarter more than the room has."""
    room = Room(100_000)
    readers: dict[int, MessageReader] = {}
    for stream, size in fed:
        one = readers.setdefault(stream, MessageReader(50_000, room))
        data = bytes(size) if not one.between else b"\0" + (50_000).to_bytes(4, "big") + bytes(size)
        try:
            list(one.feed(data))
        except NoRoomError:
            readers.pop(stream).close()
        assert held_bytes(list(readers.values())) - 5000 < room.used + 1000 * len(readers)
        assert room.used <= 150_000


def test_too_long_a_message_is_refused_by_its_prefix() -> None:
    """Nobody waits for it; the longest that is allowed passes."""
    with pytest.raises(TooLongError, match=r"The message has 8388609 bytes; 8388608 are allowed\."):
        list(reader().feed(b"\0" + (BYTES_MAX + 1).to_bytes(4, "big")))
    assert [10] == [len(message) for message in MessageReader(10, Room(ROOM)).feed(prefixed(bytes(10)))]


@pytest.mark.parametrize("flag", [1, 2, 255])
def test_a_compressed_message_is_refused_by_its_prefix(flag: int) -> None:
    """Whatever its flags say."""
    with pytest.raises(CompressedError, match="identity only"):
        list(reader().feed(bytes([flag]) + bytes(4)))


def test_a_message_before_a_bad_one_is_told() -> None:
    """The error comes when its turn comes."""
    found = reader().feed(prefixed(b"good") + b"\1\0\0\0\0")
    assert b"good" == next(found)
    with pytest.raises(CompressedError):
        next(found)


@pytest.mark.parametrize("came", [1, PREFIX, PREFIX + 1, PREFIX + 99])
def test_the_rest_of_a_message_has_its_time(came: int) -> None:
    """From one look to the second one after it; a message that ended, and the next, begin anew."""
    one, data = reader(), prefixed(bytes(100))
    for _ in range(3):
        one.wait()
        list(one.feed(data[:came]))
        one.wait()
        list(one.feed(data[came:] + data[:came]))
        one.wait()
        list(one.feed(data[came:]))
    list(one.feed(data[:came]))
    one.wait()
    with pytest.raises(SlowError, match="did not come"):
        one.wait()


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_garbage_is_messages_or_an_error(parts: list[bytes]) -> None:
    """Nothing else is ever raised."""
    one = MessageReader(1000, Room(ROOM))
    with suppress(MessageError):
        for part in parts:
            list(one.feed(part))
