"""Into how many runs a request is cut, so that a large one does not hold up a small one for long."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from server.core.decisions import Ends, Part, Ticket
from server.core.planned_run import Terms

PARTS_MAX = 16
PART_OVERHEADS_MIN = 4
"""A part takes at least so many times what a run costs anyway; shorter ones cost more than they spare."""


def parts_of(ticket: Ticket, terms: Terms) -> Sequence[Part]:
    """Parts of nearly equal load whose runs take no longer than the lane's `chunk_ns`, where it has one."""
    load = ticket.rows if ticket.ends is None else int(ticket.ends[-1])  # `ticket.load`, without the call
    whole = (Part(ticket, 0, ticket.rows, load),)
    if terms.chunk_ns is None:
        return whole
    alone_ns = terms.cost.predict_ns(1, load)
    chunk_ns = max(terms.chunk_ns, int(PART_OVERHEADS_MIN * terms.cost.shared_ns()))
    pieces = min(-(-alone_ns // chunk_ns), ticket.rows, PARTS_MAX)
    if pieces <= 1:
        return whole
    ends = ticket.ends
    if ends is None:
        bounds = [ticket.rows * piece // pieces for piece in range(pieces + 1)]
        return [Part(ticket, begin, end - begin, end - begin) for begin, end in pairwise(bounds)]
    return _by_tokens(ticket, ends, pieces)


def _by_tokens(ticket: Ticket, ends: Ends, pieces: int) -> Sequence[Part]:
    """Cut after the row with which a part has its share of the tokens; fewer parts if one row has several."""
    total = int(ends[-1])
    cuts = {min(bisect_left(ends, total * piece / pieces) + 1, ticket.rows) for piece in range(1, pieces)}
    bounds = sorted({0, ticket.rows} | cuts)
    before = [int(ends[bound - 1]) if bound else 0 for bound in bounds]
    return [
        Part(ticket, begin, end - begin, after - until)
        for (begin, end), (until, after) in zip(pairwise(bounds), pairwise(before), strict=True)
    ]
