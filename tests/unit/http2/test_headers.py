"""Header blocks: what we write, another implementation reads; what we remember is what decoding gives."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hpack import Decoder, Encoder, HPACKError
from hypothesis import given
from hypothesis import strategies as st

from http2 import frames
from http2.frames import ProtocolError
from http2.headers import HEADER_BYTES_MAX, KNOWN_BYTES_MAX, KNOWN_MAX, HeaderReader, Headers, encode, literal
from tests.unit.http2.held import held_bytes

NAMES = (b"a", b"bb", b"content-type", b"x-long")
VALUES = (b"", b"1", b"22", b"application/grpc", b"v" * 60, b"w" * 3000)


def number(value: int, bits: int, pattern: int) -> bytes:
    """An integer with a prefix of so many bits (RFC 7541, 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((pattern | value,))
    out, value = [pattern | most], value - most
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def resized(size: int) -> bytes:
    """The table has so many bytes from here on."""
    return number(size, 5, 0x20)


def added(name: bytes, value: bytes) -> bytes:
    """A header that goes into the table."""
    return b"\x40" + number(len(name), 7, 0) + name + number(len(value), 7, 0) + value


INDEXED = st.integers(1, 66).map(lambda index: number(index, 7, 0x80))
ADDED = st.builds(added, st.sampled_from(NAMES), st.sampled_from(VALUES))
NAMED = st.builds(
    lambda index, value: number(index, 6, 0x40) + number(len(value), 7, 0) + value,
    st.integers(1, 64),
    st.sampled_from(VALUES),
)
PLAIN = st.builds(literal, st.sampled_from(NAMES), st.sampled_from(VALUES))
RESIZED = st.sampled_from((0, 40, 100, 4096)).map(resized)
BLOCK = st.builds(
    lambda sizes, fields: b"".join((*sizes, *fields)),
    st.lists(RESIZED, max_size=2),
    st.lists(st.one_of(INDEXED, ADDED, NAMED, PLAIN), max_size=4),
)


def both(blocks: list[bytes]) -> None:
    """A reader that remembers and a decoder that does not, side by side until both give up."""
    reader, decoder = HeaderReader(), Decoder(HEADER_BYTES_MAX)
    for block in blocks:
        expected: Headers | None = None
        try:
            expected = dict(decoder.decode(block, raw=True))
        except HPACKError:
            with pytest.raises(ProtocolError):
                reader.decode(block)
            return
        assert expected == reader.decode(block)


@given(st.data())
def test_what_is_remembered_is_what_decoding_gives(data: st.DataObject) -> None:
    """For any blocks in any order, again and again: entries come, entries go, the table changes its size."""
    pool = data.draw(st.lists(BLOCK, min_size=1, max_size=5))
    both(data.draw(st.lists(st.sampled_from(pool), max_size=25)))


def test_a_new_size_of_the_table_changes_what_a_block_does() -> None:
    """What is added to a table of no bytes is not there: neither when it was, nor when it will be again."""
    shrink, grow, add, refer = resized(0), resized(4096), added(b"a", b"1"), number(62, 7, 0x80)
    both([shrink, add, grow, add, refer, shrink, grow, add, refer, shrink, add, refer])


def test_an_entry_that_takes_another_s_place_changes_what_a_block_says() -> None:
    """The table is full: it has as many entries as before, and none of them is the same."""
    one, other, refer = added(b"a", b"w" * 3000), added(b"bb", b"w" * 3000), number(62, 7, 0x80)
    both([one, refer, refer, other, refer, one, refer, added(b"a", b"w" * 5000), one, refer])


@given(st.data())
def test_what_another_implementation_writes_is_read(data: st.DataObject) -> None:
    """With and without Huffman's code, with a table of any size: the headers of `hpack`'s encoder."""
    encoder, reader = Encoder(), HeaderReader()
    lists = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4)
    pool = data.draw(st.lists(lists, min_size=1, max_size=4))
    for _ in range(data.draw(st.integers(1, 20))):
        if data.draw(st.integers(0, 5)) == 0:
            encoder.header_table_size = data.draw(st.sampled_from((0, 64, 200, 4096)))
        headers = data.draw(st.sampled_from(pool))
        assert dict(headers) == reader.decode(encoder.encode(headers, huffman=data.draw(st.booleans())))


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_garbage_is_headers_or_an_error(blocks: list[bytes]) -> None:
    """Nothing else is ever raised."""
    reader = HeaderReader()
    with suppress(ProtocolError):
        for block in blocks:
            reader.decode(block)


@given(st.lists(st.tuples(st.text("abc-", min_size=1), st.text(st.characters(codec="ascii")))))
def test_what_we_write_is_read_and_leaves_no_trace(headers: list[tuple[str, str]]) -> None:
    """A block of ours can be sent twice, on any connection: it adds nothing to the table."""
    decoder = Decoder(1 << 20)
    block = encode(headers)
    for _ in range(2):
        assert headers == list(decoder.decode(block))
    assert 0 == len(decoder.header_table.dynamic_entries)


def test_a_long_value_is_written_too() -> None:
    """Lengths take as many bytes as they need."""
    for size in (0, 126, 127, 128, 254, 255, 256, 16_000):
        value = "v" * size
        assert [("n", value)] == list(Decoder(1 << 20).decode(encode([("n", value)])))


def test_a_block_is_made_something_of_once() -> None:
    """What a reader is told to make of a list is remembered with the block."""
    lists: list[list[tuple[bytes, bytes]]] = []

    def count(pairs: object) -> Headers:
        lists.append(list(pairs))  # type: ignore[call-overload]
        return {b"seen": b"%d" % len(lists)}

    reader, block = HeaderReader(count), encode([("a", "1"), ("a", "2")])
    assert {b"seen": b"1"} == reader.decode(block) == reader.decode(block)
    assert [[(b"a", b"1"), (b"a", b"2")]] == lists


def test_too_long_a_list_is_refused_before_it_is_whole() -> None:
    """A short block can refer to a long entry again and again; the list's size is what counts."""
    reader = HeaderReader()
    reader.decode(added(b"a", b"v" * 3000))
    with pytest.raises(ProtocolError, match="more than 65536 bytes of headers") as caught:
        reader.decode(number(62, 7, 0x80) * 1000)
    assert frames.ENHANCE_YOUR_CALM == caught.value.code


def test_a_block_resizes_the_table_twice_at_most() -> None:
    """More is work for nothing (RFC 7541, 4.2)."""
    HeaderReader().decode(resized(0) + resized(4096) + added(b"a", b"1"))
    with pytest.raises(ProtocolError, match="too often"):
        HeaderReader().decode(resized(0) + resized(4096) + resized(4095))


def test_an_error_quotes_no_header() -> None:
    """Its sentence goes into a log; headers are the caller's secrets."""
    with pytest.raises(ProtocolError) as caught:
        HeaderReader().decode(b"\x40\x06secret\xff\xff\xff\xff\xff\xff\xff")
    assert ("a header block cannot be decoded", frames.COMPRESSION_ERROR) == (
        str(caught.value),
        caught.value.code,
    )


def test_what_is_remembered_has_an_end() -> None:
    """A peer that never repeats itself fills no memory; nor does one with long blocks."""
    reader = HeaderReader()
    for at in range(10 * KNOWN_MAX):
        reader.decode(literal(b"n", (b"%d" % at).rjust(KNOWN_BYTES_MAX - 10)))
        reader.decode(literal(b"n", (b"%d" % at).rjust(10 * KNOWN_BYTES_MAX)))
    assert held_bytes(reader) < KNOWN_MAX * 4 * KNOWN_BYTES_MAX
