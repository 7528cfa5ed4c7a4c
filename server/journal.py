"""Which requests get a line in the log: a sample of answers, and of each reason's refusals one a second.

Rule: a line names the model, the reason, times and counts, and the request_id that the caller sent for this
very purpose; never a query, a candidate's id or a feature. Who has no line is counted in one that follows.
"""

from __future__ import annotations

from typing import Any

from server.errors import RULES, Kind, Reason

SECOND_NS = 1_000_000_000
NAME_MAX = 64
"""Characters of a request_id; a longer one, which is refused, may be anything but a name."""
_OURS = frozenset({Kind.FAILED})


class Journal:
    """Written on the event loop only. Times are monotonic ns.

    Attributes:
        answer_due_ns: an answer from this instant on is to be told; before it, `skipped` is to be counted up.
    """

    def __init__(self, log: Any, answers_per_s: float) -> None:
        self._log = log
        self._every_ns = SECOND_NS / answers_per_s if answers_per_s else float("inf")
        self.answer_due_ns: float = 0 if answers_per_s else float("inf")
        self.skipped = 0
        self._due_ns: dict[Reason, int] = {}
        self._untold: dict[Reason, int] = {}

    def answered(self, now_ns: int, request_id: str, **fields: Any) -> None:
        """One answer, for all since the last one told."""
        self.answer_due_ns = now_ns + self._every_ns
        stands_for, self.skipped = self.skipped + 1, 0
        self._log.info("answered", **_named(request_id), **fields, stands_for=stands_for)

    def refused(self, now_ns: int, reason: Reason, request_id: str, model: str, took_ns: int) -> bool:
        """One refusal; whether it was told, and not only counted."""
        if now_ns < self._due_ns.get(reason, 0):
            self._untold[reason] = self._untold.get(reason, 0) + 1
            return False
        told = {"model": model, **_named(request_id), "took_ms": round(took_ns / 1e6, 3)}
        self._tell(now_ns, reason, 1 + self._untold.pop(reason, 0), told)
        return True

    def catch_up(self, now_ns: int, *, last: bool = False) -> None:
        """Tell how many were only counted, once their second is over; `last`: at once."""
        for reason in [reason for reason in self._untold if last or now_ns >= self._due_ns[reason]]:
            self._tell(now_ns, reason, self._untold.pop(reason), {})

    def _tell(self, now_ns: int, reason: Reason, count: int, told: dict[str, Any]) -> None:
        self._due_ns[reason] = now_ns + SECOND_NS
        kind = RULES[reason].kind
        say = self._log.error if kind in _OURS else self._log.info
        say("refused", reason=reason.value, kind=kind.value, count=count, **told)


def _named(request_id: str) -> dict[str, str]:
    """The caller's name of the request, in ASCII: no text of a caller's may look like a line of ours."""
    return {"request_id": ascii(request_id)[1:-1]} if 0 < len(request_id) <= NAME_MAX else {}
