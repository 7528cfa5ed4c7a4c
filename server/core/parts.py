"""Into how many runs a request is cut, so that a large one does not hold up a small one for long."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from server.core.decisions import Part, Ticket
from server.core.planned_run import Terms

PARTS_MAX = 16
PART_OVERHEADS_MIN = 4
"""A part takes at least so many times what a run costs anyway; shorter ones cost more than they spare."""


def parts_of(ticket: Ticket, terms: Terms) -> Sequence[Part]:
    """Nearly equal parts whose runs take no longer than the lane's `chunk_ns`, where it has one."""
    whole = (Part(ticket, 0, ticket.rows),)
    if terms.chunk_ns is None:
        return whole
    alone_ns = terms.cost.predict_ns(1, ticket.rows)
    chunk_ns = max(terms.chunk_ns, int(PART_OVERHEADS_MIN * terms.cost.shared_ns()))
    pieces = min(-(-alone_ns // chunk_ns), ticket.rows, PARTS_MAX)
    if pieces <= 1:
        return whole
    bounds = [ticket.rows * piece // pieces for piece in range(pieces + 1)]
    return [Part(ticket, begin, end - begin) for begin, end in pairwise(bounds)]
