"""Varints, protobuf's integers of seven bits a byte, for the parts of a message that are framed by hand.

Why by hand: a repeated field of protobuf's Python library takes one Python int per element, which at 4,000
candidates is most of an answer's cost.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_MORE: Final = 0x80
"""Another byte follows."""
_BITS: Final = 7
_BYTES_MAX: Final = 10
_TWO_BYTES: Final = 1 << 2 * _BITS
_INDEX = np.arange(_TWO_BYTES)
_ONE_WIDE: Final = _INDEX[:_MORE].astype("u1")
_TWO_WIDE: Final = (_INDEX & ~_MORE & 0xFF | _MORE | _INDEX >> _BITS << 8).astype("<u2")


def varint(number: int) -> bytes:
    """One varint, as short as it can be.

    Raises:
        ValueError: the number is negative.
    """
    if number < _MORE:
        return b"%c" % number if number >= 0 else _negative(number)
    if number < _TWO_BYTES:
        return b"%c%c" % (number & 0x7F | _MORE, number >> _BITS)
    out = bytearray()
    while number >= _MORE:
        out.append(number & 0x7F | _MORE)
        number >>= _BITS
    out.append(number)
    return bytes(out)


def read_varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """The number of at most 64 bits that begins at `at`, and where it ends.

    Raises:
        ValueError: there is none.
    """
    value = shift = 0
    for end in range(at, min(at + _BYTES_MAX, len(data))):
        byte = data[end]
        value |= (byte & 0x7F) << shift
        if byte < _MORE:
            if value >= 1 << 64:
                break
            return value, end + 1
        shift += _BITS
    raise ValueError("no varint")


def packed(numbers: NDArray[np.integer[Any]], below: int) -> bytes:
    """A packed repeated field's bytes: every number in as many bytes as `below - 1` takes.

    A varint may be longer than it has to be, and parsers read it all the same; one width for all lets numpy
    write them without a loop: 0.2 instead of 2.3 µs for 129 numbers.

    Args:
        numbers: any integer dtype [N], each at least 0 and less than `below`.
        below: at least 1.
    """
    wide: NDArray[Any]
    if below <= _MORE:
        wide = _ONE_WIDE[numbers]
    elif below <= _TWO_BYTES:
        wide = _TWO_WIDE[numbers]
    else:
        width = -(-(below - 1).bit_length() // _BITS)
        wide = (numbers[:, None] >> np.arange(width) * _BITS & 0x7F).astype("u1")
        wide[:, :-1] |= _MORE
    return wide.tobytes()


def _negative(number: int) -> bytes:
    raise ValueError(f"{number} is negative: a varint here is unsigned")
