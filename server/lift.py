"""Takes large tensors out of a request's bytes, so that the library reads, and copies, only the rest.

Protobuf's parser copies a `bytes` field once to parse it and once more to hand it out (docs/decisions.md has
what that costs). Here the field is found by its lengths and cut out as a view. Whatever is not written as
plainly as every writer writes it is left to the library, which says what is wrong with it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from protos.varint import varint

LIFT_BYTES_MIN: Final = 32 << 10
"""A tensor shorter than this is cheaper to copy than to look for."""
_CANDIDATES: Final = 7 << 3 | 2
"""Tags, of length-delimited fields: RankRequest.candidates,"""
_COLUMNS: Final = 6 << 3 | 2
"""Candidates.columns,"""
_DATA: Final = 4 << 3 | 2
"""Tensor.data."""


class Field(NamedTuple):
    """A length-delimited field of a message: where its tag begins, its payload begins, and where it ends."""

    begin: int
    at: int
    end: int


class Lifted(NamedTuple):
    """A request in two parts.

    Attributes:
        rest: the request without what was lifted; the columns it is missing are there, with no data.
        data: the data of candidates.columns by position, as views of the request's bytes.
    """

    rest: bytes | memoryview
    data: dict[int, memoryview]


def lift(request: bytes | memoryview, bytes_min: int = LIFT_BYTES_MIN) -> Lifted:
    """Cut the data of candidate columns of at least `bytes_min` bytes out of a serialised RankRequest."""
    untouched = Lifted(request, {})
    if len(request) < bytes_min:
        return untouched
    view = memoryview(request)
    found = fields(view, 0, len(view), _CANDIDATES)
    if found is None or len(found) != 1:
        return untouched
    candidates = found[0]
    columns = fields(view, candidates.at, candidates.end, _COLUMNS)
    if columns is None:
        return untouched
    data: dict[int, memoryview] = {}
    kept: list[bytes | memoryview] = []
    at = candidates.at
    for position, column in enumerate(columns):
        if column.end - column.at < bytes_min:
            continue
        tensor = fields(view, column.at, column.end, _DATA)
        if tensor is None or len(tensor) != 1 or tensor[0].end - tensor[0].at < bytes_min:
            continue
        cut = tensor[0]
        left = (column.end - column.at) - (cut.end - cut.begin)
        kept += (
            view[at : column.begin],
            bytes((_COLUMNS,)),
            varint(left),
            view[column.at : cut.begin],
            view[cut.end : column.end],
        )
        at = column.end
        data[position] = view[cut.at : cut.end]
    if not data:
        return untouched
    kept.append(view[at : candidates.end])
    length = varint(sum(map(len, kept)))
    before = (view[: candidates.begin], bytes((_CANDIDATES,)), length)
    return Lifted(b"".join((*before, *kept, view[candidates.end :])), data)


def fields(view: memoryview, at: int, end: int, wanted: int) -> list[Field] | None:
    """Every field with this one-byte tag between `at` and `end`; None if fields cannot be told apart.

    Fields with larger numbers, groups and fixed numbers do not occur in what we look through: None.
    """
    found: list[Field] = []
    while at < end:
        begin, tag = at, view[at]
        at += 1
        value = shift = 0
        while at < end:
            byte = view[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        else:
            return None
        kind = tag & 7
        if tag >= 0x80 or shift > 63 or kind not in (0, 2):
            return None
        if kind == 2:
            if at + value > end:
                return None
            if tag == wanted:
                found.append(Field(begin, at, at + value))
            at += value
    return found
