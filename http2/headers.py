"""Header blocks (HPACK, RFC 7541): the decompression is a library's, the memory of what was seen is ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from hpack import Decoder, HPACKError, OversizedHeaderListError

from http2 import frames

Headers = dict[bytes, bytes]
"""Of a name given twice the last one counts; gRPC asks for none twice that we read."""
HEADER_BYTES_MAX: Final = 64 << 10
"""Of one decompressed list, counted as RFC 9113 counts it (6.5.2); beyond it the connection ends."""
KNOWN_MAX: Final = 256
KNOWN_BYTES_MAX: Final = 512
"""How many blocks are remembered per connection, and how long they may be."""
_UPDATE: Final = re.compile(rb"[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f]")
"""A change of the table's size (RFC 7541, 6.3), which only the front of a block may hold."""
_THREE_UPDATES: Final = re.compile(rb"(?:" + _UPDATE.pattern + rb"){3}")
"""A block has at most two (4.2); each costs work and stands for nothing."""


def literal(name: bytes, value: bytes) -> bytes:
    """One header in a form that leaves both sides' compression state alone (RFC 7541, 6.2.3)."""
    return b"\x10" + _length(len(name)) + name + _length(len(value)) + value


def encode(headers: Iterable[tuple[str, str]]) -> bytes:
    """A header block of literals: it can be sent any number of times, on any connection."""
    return b"".join(literal(name.encode(), value.encode()) for name, value in headers)


def _length(size: int) -> bytes:
    """An integer with a 7-bit prefix (RFC 7541, 5.1)."""
    if size < 0x7F:
        return bytes((size,))
    size -= 0x7F
    out = [0x7F]
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((*out, size))


class HeaderReader:
    """Decodes one direction's header blocks; a peer repeats itself, so whole blocks are remembered.

    The meaning of a block lasts until the table changes that blocks refer to (RFC 7541, 2.3.2).
    """

    def __init__(self, read: Callable[[Iterable[tuple[bytes, bytes]]], Headers] = dict) -> None:
        """Args: `read` makes of a decoded list what is told of it, once for each block that is remembered."""
        self._read = read
        self._decoder = Decoder(HEADER_BYTES_MAX)
        self._known: dict[bytes, Headers] = {}

    def decode(self, block: bytes) -> Headers:
        """The headers of a whole block; callers must not change them.

        Raises:
            frames.ProtocolError: it cannot be decoded, or decodes to more than HEADER_BYTES_MAX.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        if _THREE_UPDATES.match(block):
            raise frames.ProtocolError("a header block resizes the table too often", frames.COMPRESSION_ERROR)
        newest = self._newest()
        try:
            found = self._read(self._decoder.decode(block, raw=True))
        except OversizedHeaderListError:
            sentence = f"more than {HEADER_BYTES_MAX} bytes of headers"
            raise frames.ProtocolError(sentence, frames.ENHANCE_YOUR_CALM) from None
        except HPACKError as error:
            # The library's own words may quote the headers, which are nobody's but the caller's.
            raise frames.ProtocolError(
                "a header block cannot be decoded", frames.COMPRESSION_ERROR
            ) from error
        # Every new entry is a new object and comes first; the old one is kept alive here, to compare with.
        # A new size of the table changes what a block does that adds to it, even while the table stays empty.
        changed = self._newest() is not newest or _UPDATE.match(block) is not None
        if changed or len(self._known) >= KNOWN_MAX:
            self._known.clear()
        elif len(block) <= KNOWN_BYTES_MAX:
            self._known[block] = found
        return found

    def _newest(self) -> object:
        entries = self._decoder.header_table.dynamic_entries
        return entries[0] if entries else None
