"""What the plan wants to run together, and by when it must have ended."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from server.core.cost import CostModel
from server.core.decisions import Lane, Part
from server.core.margin import Margin


@dataclass(frozen=True, slots=True)
class Terms:
    """What a lane brings to the plan.

    Attributes:
        chunk_ns: a request whose run would be longer is split; None = this model's cannot be.
    """

    cost: CostModel
    margin: Margin
    chunk_ns: int | None = None


class PlannedRun:
    """Parts of one lane that share a run.

    Attributes:
        parts: in the order of their deadlines.
        rows, load: of all parts; the load is what the run costs, in what the lane counts: rows, or tokens.
        time_ns: predicted time of the run.
        expected_ns: its mean, without caution.
        deadline_ns: the earliest deadline in it.
        due_ns: the same, less what was kept free when the run was planned.
        cap_ns: no company that makes the run longer than this: half of the time that the most urgent had, so
            that whoever comes while it is under way can wait for it and run as long again (Nexus' rule).
    """

    __slots__ = (
        "cap_ns",
        "deadline_ns",
        "due_ns",
        "expected_ns",
        "lane",
        "load",
        "margin_ns",
        "parts",
        "probe",
        "rows",
        "terms",
        "time_ns",
    )

    def __init__(self, terms: Terms, part: Part, margin_ns: int, *, probe: bool = False) -> None:
        self.terms = terms
        self.lane: Lane = part.ticket.lane
        self.margin_ns = margin_ns
        self.probe = probe
        self.parts: list[Part] = [part]
        self._add_up()

    def time_with_ns(self, part: Part) -> int:
        """Predicted time with one more part."""
        return self.terms.cost.predict_ns(len(self.parts) + 1, self.load + part.load)

    def rest_ns(self) -> int:
        """Predicted time without the most urgent part; 0 if nothing would be left."""
        if len(self.parts) == 1:
            return 0
        return self.terms.cost.predict_ns(len(self.parts) - 1, self.load - self.parts[0].load)

    def cap_with_ns(self, part: Part) -> int:
        """The cap with one more part, which may be the most urgent."""
        ticket = part.ticket
        if ticket.deadline_ns >= self.deadline_ns:
            return self.cap_ns
        return (ticket.deadline_ns - self.margin_ns - ticket.arrival_ns) // 2

    def add(self, part: Part, time_ns: int) -> None:
        """Take a part in; `time_ns` is what `time_with_ns` said."""
        if part.ticket.deadline_ns < self.parts[-1].ticket.deadline_ns:
            self.parts = sorted([*self.parts, part], key=due)
            self._add_up()
            return
        self.parts.append(part)
        self.rows += part.rows
        self.load += part.load
        self.time_ns = time_ns
        self.expected_ns = self.terms.cost.expect_ns(len(self.parts), self.load)

    def drop(self, ticket_id: int) -> bool:
        """Take a ticket's parts out; whether anything is left."""
        self.parts = [part for part in self.parts if part.ticket.id != ticket_id]
        if self.parts:
            self._add_up()
        return bool(self.parts)

    def drop_first(self) -> bool:
        """Take the most urgent part out; whether anything is left."""
        del self.parts[0]
        if self.parts:
            self._add_up()
        return bool(self.parts)

    def drop_last(self) -> PlannedRun:
        """Take the least urgent part out, as a run of its own; there must be another."""
        part = self.parts.pop()
        self._add_up()
        return PlannedRun(self.terms, part, self.margin_ns)

    def without(self, ids: Collection[int]) -> PlannedRun | None:
        """One that can be changed without changing this, without the parts of some tickets; None if empty."""
        parts = [part for part in self.parts if part.ticket.id not in ids] if ids else list(self.parts)
        if not parts:
            return None
        other: PlannedRun = PlannedRun.__new__(PlannedRun)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.parts = parts
        if len(parts) < len(self.parts):
            other._add_up()
        return other

    def holds(self, ticket_id: int) -> bool:
        """Whether a part of this ticket is in it."""
        return any(part.ticket.id == ticket_id for part in self.parts)

    def reprice(self) -> None:
        """Predict again: the model has learned."""
        self.time_ns = self.terms.cost.predict_ns(len(self.parts), self.load)
        self.expected_ns = self.terms.cost.expect_ns(len(self.parts), self.load)

    def _add_up(self) -> None:
        first = self.parts[0].ticket
        self.rows = sum(part.rows for part in self.parts)
        self.load = sum(part.load for part in self.parts)
        self.deadline_ns = first.deadline_ns
        self.due_ns = first.deadline_ns - self.margin_ns
        self.cap_ns = (self.due_ns - first.arrival_ns) // 2
        self.reprice()


def due(part: Part) -> tuple[int, int, int]:
    """The order of the plan: earliest deadline first."""
    return part.ticket.deadline_ns, part.ticket.id, part.start
