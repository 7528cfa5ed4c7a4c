"""The plan: runs in the order in which executors will take them, none predicted to end late.

Jobs that are started in a fixed order, each as soon as an executor is free, know none of Graham's anomalies
(1969): if no run takes longer than predicted, none starts or ends later than planned. So a ticket for which
the plan found a place can be late only where a prediction was exceeded.

`free` is, throughout, when each executor is predicted to be free: ascending, one entry per executor.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence

from server.core.decisions import Part, Ticket
from server.core.planned_run import PlannedRun, Terms

SAVING_MIN = 0.02
"""Of a part's own time: company that saves less only delays those who were there first."""
OVERHEAD_SHARE = 0.05
"""Of a run that is long enough for its fixed cost not to matter. A run that is planned ahead gets room to
grow to that length: were it admitted with none to spare, nobody could ever join it, and in an overload every
run would be that of one request."""
LOOK_BACK = 3
"""So many runs before its place by deadline a part looks for company of its lane."""


class Plan:
    """All that waits, as runs in order."""

    def __init__(self, rows_max: int, requests_max: int) -> None:
        self._rows_max = rows_max
        self._requests_max = requests_max
        self.runs: list[PlannedRun] = []
        self.crowded = False
        """More is offered than can be done: what is planned ahead must have room to grow."""

    def without(self, ids: Collection[int] = ()) -> Plan:
        """One that can be changed without changing this, without some tickets."""
        other = type(self)(self._rows_max, self._requests_max)
        other.runs = [left for run in self.runs if (left := run.without(ids)) is not None]
        other.crowded = self.crowded
        return other

    def place(self, parts: Sequence[Part], terms: Terms, free: Sequence[int], margin_ns: int) -> bool:
        """Find room for all parts of a ticket, or for none."""
        for at, part in enumerate(parts):
            if not self._place(part, terms, free, margin_ns):
                if at:
                    self.remove(part.ticket)
                return False
        return True

    def remove(self, ticket: Ticket) -> None:
        """Take all parts of a ticket out; nobody ends later for it."""
        self.runs = [run for run in self.runs if not run.holds(ticket.id) or run.drop(ticket.id)]

    def in_the_way(self, parts: Sequence[Part], terms: Terms, free: Sequence[int]) -> int:
        """How many runs, from the first, somebody has to leave before these parts find room.

        Were they put in all the same, each in a run of its own: up to the first run that would end late, for
        whoever stands behind that one delays nobody who is; and up to the last run that they could join.
        """
        deadline_ns = parts[0].ticket.deadline_ns
        at = self._place_of(deadline_ns)
        before, later = self.runs[:at], self.runs[at:]
        own_ns = [terms.cost.predict_ns(1, part.load) for part in parts]
        times = [*(run.time_ns for run in before), *own_ns, *(run.time_ns for run in later)]
        dues = [*(run.due_ns for run in before), *[deadline_ns - terms.margin.ns] * len(parts)]
        dues += [run.due_ns for run in later]
        late = next((n for n, end in enumerate(_ends(times, free)) if end > dues[n]), 0)
        return max(at + 1, late - len(parts) + 1)

    def next(self, free: Sequence[int], now_ns: int) -> PlannedRun:
        """Take the first run out, with the company that has become possible since it was planned.

        Args:
            free: with the asking executor in front.
        """
        run = self.runs.pop(0)
        while self.runs:
            following = self.runs[0]
            part = following.parts[0]
            time_ns = self._joined_ns(run, part)
            if time_ns is None or not _worthwhile(run, part):
                break
            if now_ns + time_ns > min(run.due_ns, part.ticket.deadline_ns - run.margin_ns):
                break
            rest_ns = following.rest_ns()
            longer_ns, shorter_ns = time_ns - run.time_ns, following.time_ns - rest_ns
            if (len(free) > 1 or longer_ns > shorter_ns) and not self._in_time(
                (now_ns + time_ns, *free[1:]), rest_ns
            ):
                break  # what follows may start elsewhere meanwhile, or is foreseen less cautiously when small
            run.add(part, time_ns)
            if not following.drop_first():
                del self.runs[0]
        return run

    def split_first(self) -> None:
        """Make the first run shorter: its least urgent part becomes a run of its own, in its place."""
        run = self.runs[0].drop_last()
        self.runs.insert(max(self._place_of(run.deadline_ns), 1), run)

    def late(self, free: Sequence[int]) -> bool:
        """Whether a run would end after a deadline, were those before it to take their mean time.

        Less strict than admission: who was admitted is given up only when that is all but certain.
        """
        if not self.runs:
            return False
        ends = _ends([run.expected_ns for run in self.runs], free)
        return any(
            end - run.expected_ns + run.time_ns > run.deadline_ns
            for end, run in zip(ends, self.runs, strict=True)
            if not run.probe
        )

    def reprice(self) -> None:
        """Predict all runs again."""
        for run in self.runs:
            run.reprice()

    def work_ns(self) -> int:
        """Predicted executor time of all that waits."""
        return sum(run.time_ns for run in self.runs)

    def _place(self, part: Part, terms: Terms, free: Sequence[int], margin_ns: int) -> bool:
        runs = self.runs
        deadline_ns = part.ticket.deadline_ns
        due_ns = deadline_ns - margin_ns
        at = self._place_of(deadline_ns)
        alone_ns = terms.cost.predict_ns(1, part.load)
        for joined in range(at - 1, max(at - 1 - LOOK_BACK, -1), -1):
            run = runs[joined]
            time_ns = self._joined_ns(run, part)
            if time_ns is not None:
                if _worthwhile(run, part) and self._fits(
                    free, joined, time_ns, min(run.due_ns, due_ns), joins=True
                ):
                    run.add(part, time_ns)
                    return True
                break
        if self._fits(
            free, at, alone_ns, due_ns - self._room_ns(part, terms, free, at, alone_ns), joins=False
        ):
            runs.insert(at, PlannedRun(terms, part, margin_ns))
            return True
        # The last chance: a run that is due later, and would be due sooner for it.
        if at < len(runs) and (time_ns := self._joined_ns(runs[at], part)) is not None:
            run = runs[at]
            if self._fits(free, at, time_ns, min(run.due_ns, due_ns), joins=True):
                run.add(part, time_ns)
                return True
        return False

    def _place_of(self, deadline_ns: int) -> int:
        """Behind all runs that are due no later; most often at the end."""
        at = len(self.runs)
        while at and self.runs[at - 1].deadline_ns > deadline_ns:
            at -= 1
        return at

    def _room_ns(self, part: Part, terms: Terms, free: Sequence[int], at: int, alone_ns: int) -> int:
        """What a new run at `at` should be able to grow by while it waits: no more than it waits."""
        ticket = part.ticket
        if not self.crowded or self._requests_max == 1 or part.rows < ticket.rows:
            return 0  # nobody will join, or it is long as it is
        half_ns = (ticket.deadline_ns - ticket.arrival_ns) // 2
        efficient_ns = min(int(terms.cost.shared_ns() / OVERHEAD_SHARE), half_ns)
        if efficient_ns <= alone_ns:
            return 0
        ahead_ns = sum(run.time_ns for run in self.runs[:at]) // len(free)
        waits_ns = free[0] + ahead_ns - ticket.arrival_ns
        return max(min(efficient_ns - alone_ns, waits_ns), 0)

    def _joined_ns(self, run: PlannedRun, part: Part) -> int | None:
        """Predicted time of the run with the part in it; None if they do not go together."""
        if run.lane != part.ticket.lane or run.probe:
            return None
        if len(run.parts) >= self._requests_max or run.rows + part.rows > self._rows_max:
            return None
        if part.rows < part.ticket.rows and run.holds(part.ticket.id):
            return None  # split to give way, not to meet again
        time_ns = run.time_with_ns(part)
        return time_ns if time_ns <= run.cap_with_ns(part) else None

    def _fits(self, free: Sequence[int], at: int, time_ns: int, due_ns: int, *, joins: bool) -> bool:
        """Whether a run of `time_ns` at `at` ends by `due_ns`, and all after it by theirs.

        Args:
            joins: it stands instead of the run that is there, not before it.
        """
        runs = self.runs
        if len(free) > 1:
            later = runs[at + joins :]
            times = [*(run.time_ns for run in runs[:at]), time_ns, *(run.time_ns for run in later)]
            dues = [due_ns, *(run.due_ns for run in later)]
            ends = list(_ends(times, free))
            return all(end <= due for end, due in zip(ends[at:], dues, strict=True))
        end_ns = free[0] + time_ns
        for run in runs[:at]:
            end_ns += run.time_ns
        if end_ns > due_ns:
            return False
        for run in runs[at + joins :]:
            end_ns += run.time_ns
            if end_ns > run.due_ns:
                return False
        return True

    def _in_time(self, free: Sequence[int], first_ns: int) -> bool:
        """Whether all runs end by their times, were the first of them to take `first_ns`."""
        ends = _ends([first_ns, *(run.time_ns for run in self.runs[1:])], free)
        return all(end <= run.due_ns for end, run in zip(ends, self.runs, strict=True))


def _worthwhile(run: PlannedRun, part: Part) -> bool:
    cost = run.terms.cost
    return cost.shared_ns() >= SAVING_MIN * cost.line.row_ns * part.load


def _ends(times_ns: Sequence[int], free: Sequence[int]) -> Iterator[int]:
    """When runs end that are started in this order, each on the executor that is free first."""
    heap = list(free)
    heapq.heapify(heap)
    for time_ns in times_ns:
        end_ns = heap[0] + time_ns
        heapq.heapreplace(heap, end_ns)
        yield end_ns
