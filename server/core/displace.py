"""Who has to go for one more important: as few as possible of the least important who are in the way.

As Moore and Hodgson (1968) would: whoever stands behind the first run that would end late delays nobody who
is, so that giving them up would help nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from server.core.decisions import Part, Ticket
from server.core.plan import Plan
from server.core.planned_run import Terms
from server.core.shed import worth

VICTIMS_MAX = 8
"""Less important tickets that may have to go for one more important."""


def displace(
    plan: Plan, lesser: Collection[Ticket], parts: Sequence[Part], terms: Terms, free: Sequence[int]
) -> tuple[Plan, Sequence[Ticket]] | None:
    """A plan with these parts and without those of `lesser` who are in their way, and who these are.

    None if even all of them are too few, or VICTIMS_MAX of them.
    """
    ids = {ticket.id for ticket in lesser}
    if not ids or not _fits(plan.without(ids), parts, terms, free):
        return None
    trial, gone = plan.without(), list[Ticket]()
    while not (gone and _fits(trial, parts, terms, free)):
        front = trial.runs[: trial.in_the_way(parts, terms, free)]
        found = [part.ticket for run in front for part in run.parts if part.ticket.id in ids]
        if not found or len(gone) == VICTIMS_MAX:
            return None
        gone.append(min(found, key=worth))
        trial.remove(gone[-1])
    for victim in sorted(gone, key=worth, reverse=True) if len(gone) > 1 else ():
        others = [ticket for ticket in gone if ticket is not victim]
        spared = plan.without({ticket.id for ticket in others})
        if _fits(spared, parts, terms, free):  # who went after has made it needless
            trial, gone = spared, others
    return trial, gone


def _fits(plan: Plan, parts: Sequence[Part], terms: Terms, free: Sequence[int]) -> bool:
    return plan.place(parts, terms, free, terms.margin.ns)
