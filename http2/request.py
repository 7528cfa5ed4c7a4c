"""What a request's header list must be (RFC 9113, 8.2 and 8.3), checked once for each list that is new."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from http2.headers import Headers

MALFORMED: Final[Headers] = {}
"""What is made of a list that breaks the rules: no headers, and so no request either."""
LONG: Final[Headers] = {}
"""What is made of a list that is too long; known by identity."""
BYTES_MAX: Final = 16 << 10
"""Of a list, as RFC 9113 counts it (6.5.2): gRPC's own limits are 8 to 16 KiB."""
_OVERHEAD: Final = 32

_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority"))
_NEEDED: Final = _PSEUDO - {b":authority"}
"""CONNECT does without two of them, but gRPC has no use for CONNECT."""
_NOT_HTTP2: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)
_NAMES: Final = re.compile(rb"(?::?[!-9;-@\[-~]+\n)*")
"""A line for each: visible ASCII, no capitals, a colon in front only."""
_BREAKS: Final = re.compile(rb"[\0\r\n]")
"""What no value holds."""


def read(pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers by name, MALFORMED, or LONG. A list without pseudo-headers passes: trailers have none."""
    pairs = list(pairs)
    found = dict(pairs)
    names = [name for name, _ in pairs]
    lines = b"\n".join((*names, b""))
    values = b"".join([value for _, value in pairs])
    if len(lines) + len(values) + (_OVERHEAD - 1) * len(pairs) > BYTES_MAX:
        return LONG
    pseudo = [name for name in names if name.startswith(b":")]
    malformed = (
        names[: len(pseudo)] != pseudo
        or len(set(pseudo)) != len(pseudo)
        or not _PSEUDO.issuperset(pseudo)
        or (pseudo and not (_NEEDED.issubset(pseudo) and found[b":path"]))
        or not _NOT_HTTP2.isdisjoint(names)
        or found.get(b"te", b"trailers") != b"trailers"
        or not _NAMES.fullmatch(lines)
        or lines.count(b"\n") != len(names)
        or _BREAKS.search(values)
    )
    return MALFORMED if malformed else found
