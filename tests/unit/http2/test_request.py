"""What makes a header list a request (RFC 9113, 8.2 and 8.3), and what spoils it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http2.request import BYTES_MAX, LONG, MALFORMED, read

Pairs = list[tuple[bytes, bytes]]

PSEUDO: Pairs = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/p"),
    (b":authority", b"host:1"),
]
GRPC: Pairs = [(b"te", b"trailers"), (b"content-type", b"application/grpc"), (b"x-trace-bin", b"AAE=")]


@pytest.mark.parametrize(
    "pairs",
    [
        PSEUDO + GRPC,
        PSEUDO[::-1] + GRPC,
        PSEUDO[:3] + GRPC,
        PSEUDO,
        [*PSEUDO, (b"x", b""), (b"x", b"twice")],
        [*PSEUDO, (b"x!#$%&'*+-.^_`|~0", b"\xff\t ")],
    ],
    ids=["grpc", "another order", "no authority", "nothing else", "given twice", "odd characters"],
)
def test_a_request(pairs: Pairs) -> None:
    """Everything is there by its name; the last one counts."""
    assert dict(pairs) == read(pairs)


@pytest.mark.parametrize("pairs", [[], [(b"grpc-trace", b"1")], GRPC])
def test_trailers(pairs: Pairs) -> None:
    """They have no pseudo-headers, and so no path."""
    assert dict(pairs) == read(pairs)
    assert b":path" not in read(pairs)


@pytest.mark.parametrize("missing", [b":method", b":scheme", b":path"])
def test_what_a_request_needs(missing: bytes) -> None:
    """Method, scheme and path."""
    assert MALFORMED == read([pair for pair in PSEUDO + GRPC if pair[0] != missing])


@pytest.mark.parametrize(
    "extra",
    [
        (b":path", b"/q"),
        (b":method", b"POST"),
        (b":authority", b"b"),
        (b":status", b"200"),
        (b":protocol", b"websocket"),
        (b":", b""),
        (b"", b""),
        (b"X-Upper", b"1"),
        (b"with space", b"1"),
        (b"with:colon", b"1"),
        (b"new\nline", b"1"),
        (b"nul\0", b"1"),
        (b"umlaut\xe4", b"1"),
        (b"x", b"a\r\nb: c"),
        (b"x", b"nul\0"),
        (b"connection", b"close"),
        (b"keep-alive", b"1"),
        (b"proxy-connection", b"1"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"te", b"gzip"),
    ],
    ids=lambda pair: repr(pair[0])[2:-1] or "empty",
)
def test_what_spoils_a_request(extra: tuple[bytes, bytes]) -> None:
    """Names that no header has, names of HTTP/1.1's connections, line breaks, pseudo-headers given twice."""
    place = 4 if extra[0].startswith(b":") else len(PSEUDO + GRPC)
    pairs = PSEUDO + GRPC
    assert MALFORMED == read([*pairs[:place], extra, *pairs[place:]])


def test_pseudo_headers_come_first() -> None:
    """One after another header spoils the list; so does an empty path."""
    assert MALFORMED == read([*PSEUDO[:2], GRPC[0], *PSEUDO[2:]])
    assert MALFORMED == read([*PSEUDO[:2], (b":path", b""), PSEUDO[3]])


def test_a_long_list_is_told_from_a_malformed_one() -> None:
    """It is the caller's metadata that is too much; how much is counted as RFC 9113 does."""
    size = sum(len(name) + len(value) + 32 for name, value in PSEUDO)
    value = b"v" * (BYTES_MAX - size - 32 - 1)
    assert dict([*PSEUDO, (b"x", value)]) == read([*PSEUDO, (b"x", value)])
    assert read([*PSEUDO, (b"x", value + b"v")]) is LONG
    assert read([*PSEUDO, *[(b"x", b"twice")] * 500]) is LONG
    assert read([*PSEUDO, (b"X", b"")]) is MALFORMED


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=6))
def test_any_list_is_read(pairs: Pairs) -> None:
    """As it is, or as malformed."""
    assert read(PSEUDO + pairs) in (dict(PSEUDO + pairs), MALFORMED)
