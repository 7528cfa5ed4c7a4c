"""The scheduler's no, said to the caller: each with the numbers that it was decided by."""

from __future__ import annotations

from server.core.decisions import Rejected, Ticket
from server.errors import Reason, Refusal

_NS_PER_MS = 1e6


def rejected(rejected: Rejected) -> Refusal:
    """Not admitted: hopeless even when idle, or too busy."""
    needs_ms = rejected.minimum_ns / _NS_PER_MS
    if rejected.reason is Reason.DEADLINE_TOO_SHORT:
        sentence = f"Even an idle server needs about {needs_ms:.1f} ms for this request."
        return Refusal(
            rejected.reason, sentence, needs_ms=needs_ms, facts=(("minimumMs", f"{needs_ms:.1f}"),)
        )
    retry_ms = max(1, -(-(rejected.retry_after_ns or 0) // 1_000_000))
    sentence = "Too busy to finish in time; try later, or another replica."
    facts = (
        ("queueMs", f"{rejected.queue_ns / _NS_PER_MS:.1f}"),
        ("capacityRowsPerSecond", f"{rejected.rows_per_s:.0f}"),
    )
    return Refusal(rejected.reason, sentence, "", retry_ms, needs_ms, facts)


def expired(ticket: Ticket, now_ns: int) -> Refusal:
    """Admitted, and yet it can no longer finish."""
    waited_ms = (now_ns - ticket.arrival_ns) / _NS_PER_MS
    sentence = f"Waited {waited_ms:.1f} ms; it could no longer finish by its deadline."
    return Refusal(Reason.EXPIRED_IN_QUEUE, sentence, facts=(("queuedMs", f"{waited_ms:.1f}"),))


def displaced(planned_ns: int) -> Refusal:
    """Admitted, and given up for a more important one; what is planned now, done, leaves room again."""
    retry_ms = max(1, -(-planned_ns // 1_000_000))
    sentence = "A more important request needed the room; try later, or another replica."
    return Refusal(Reason.DISPLACED, sentence, "", retry_ms)


def lost() -> Refusal:
    """In a run that does not come back."""
    return Refusal(
        Reason.EXECUTOR_LOST, "The run that this request is in is stuck; another replica can answer."
    )
