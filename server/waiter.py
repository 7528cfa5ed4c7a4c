"""Who waits for scores: one admitted request, and what has been scored of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from server.core.decisions import Part, Ticket
from server.domain import Payload, RunStamps, Scored, Scores
from server.errors import Refusal

Settle = Callable[[Scored | Refusal], None]
"""Told a request's outcome, once, on the loop; it does not raise."""


class Waiter:
    """One admitted request. What it says of its parts' dispatch is under the dispatcher's lock,
    what it collects belongs to the loop.

    Attributes:
        parts: pieces that it is split into.
        told: its outcome is known; whatever comes later is nobody's.
    """

    __slots__ = ("_gone", "_pieces", "parts", "payload", "settle", "ticket", "told")

    def __init__(self, ticket: Ticket, payload: Payload, settle: Settle) -> None:
        self.ticket = ticket
        self.payload = payload
        self.settle = settle
        self.parts = 1
        self.told = False
        self._gone = 0
        self._pieces: list[tuple[int, Scored]] = []

    def part_goes(self) -> bool:
        """One more part is dispatched; whether it was the last."""
        self._gone += 1
        return self._gone == self.parts

    def payload_of(self, part: Part) -> Payload:
        """The rows of one part; the context goes with each."""
        payload = self.payload
        if part.rows == payload.rows:
            return payload
        end = part.start + part.rows
        columns = tuple(column[part.start : end] for column in payload.candidates)
        lengths = None if payload.lengths is None else payload.lengths[part.start : end]
        return Payload(payload.context, columns, part.rows, lengths)

    def collect(self, part: Part, outcome: Scored | Refusal) -> Scored | Refusal | None:
        """Take in what became of a part; the request's outcome as soon as that is known."""
        if self.parts == 1 or isinstance(outcome, Refusal):
            return outcome
        self._pieces.append((part.start, outcome))
        if len(self._pieces) < self.parts:
            return None
        return _joined([scored for _, scored in sorted(self._pieces, key=lambda piece: piece[0])])


def _joined(pieces: list[Scored]) -> Scored:
    """Scores in the request's order. The stamps are the first start and the last end: what is between the
    parts counts as run."""
    heads: Mapping[str, Scores] = {
        head: np.concatenate([piece.heads[head] for piece in pieces]) for head in pieces[0].heads
    }
    first = min((piece.stamps for piece in pieces), key=lambda stamps: stamps.started_ns)
    last = max((piece.stamps for piece in pieces), key=lambda stamps: stamps.ran_ns)
    stamps = RunStamps(first.started_ns, first.formed_ns, last.ran_ns, last.rows, last.requests)
    return Scored(heads, stamps)
