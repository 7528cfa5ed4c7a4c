"""Rank: one request, one answer."""

from __future__ import annotations

from server import status
from server.door.call import Call, Handler, Method
from server.door.timeout import Remaining
from server.errors import Code, Refusal
from server.ranking import Passage, Ranking


def method(ranking: Ranking) -> Method:
    """The method."""
    return lambda call, remaining_s: _Rank(ranking, call, remaining_s)


class _Rank(Handler):
    """One call."""

    __slots__ = ("_call", "_passage", "_ranking", "_remaining")

    def __init__(self, ranking: Ranking, call: Call, remaining_s: float | None) -> None:
        self._ranking = ranking
        self._call = call
        self._remaining = Remaining(remaining_s)
        self._passage: Passage | None = None

    def message(self, data: bytes | memoryview) -> None:
        """The request."""
        if self._passage is None:
            self._passage = self._ranking.begin(data, self._remaining.seconds(), self._settle)
        else:
            self._call.fail(Code.INTERNAL, "Rank takes one message.")
            self._passage.cancel()

    def half_closed(self) -> None:
        """The question is whole."""
        if self._passage is None:
            self._call.fail(Code.INTERNAL, "Rank takes one message; none came.")

    def gone(self) -> None:
        """Nobody waits."""
        if self._passage is not None:
            self._passage.cancel()

    def _settle(self, outcome: bytes | Refusal) -> None:
        if isinstance(outcome, bytes):
            self._call.answer(outcome)
        else:
            refused = status.of(outcome, self._remaining.seconds())
            self._call.fail(refused.code, refused.message, refused.trailers)
