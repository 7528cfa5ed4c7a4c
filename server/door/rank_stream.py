"""RankStream: many requests on one call, each with an id, a deadline, an end of its own."""

from __future__ import annotations

from functools import partial
from typing import Final

from podium.v1 import ranking_pb2 as pb
from server import status
from server.config import Limits
from server.door.call import Call, Handler, Method
from server.door.envelope import ABOUT_THE_STREAM, UnreadableError, read, response
from server.door.timeout import Remaining
from server.errors import Reason, Refusal
from server.ranking import Passage, Ranking

_CLOSING: Final = Refusal(Reason.SHUTTING_DOWN, "This server is shutting down; another replica can answer.")
_DEAF: Final = Refusal(Reason.UNREAD_ANSWERS, "The caller does not read; answers are dropped.", "", 10)


def method(ranking: Ranking, limits: Limits) -> Method:
    """The method."""
    return lambda call, remaining_s: _RankStream(ranking, limits, call, remaining_s)


class _RankStream(Handler):
    """One stream. A slow or refused request holds up nobody: there is no order among answers."""

    __slots__ = (
        "_asked_all",
        "_call",
        "_leaving",
        "_limits",
        "_over",
        "_passages",
        "_ranking",
        "_remaining",
        "_unheeded_bytes",
    )

    def __init__(self, ranking: Ranking, limits: Limits, call: Call, remaining_s: float | None) -> None:
        self._ranking = ranking
        self._limits = limits
        self._call = call
        self._remaining = Remaining(remaining_s)
        self._passages: dict[int, Passage] = {}
        self._unheeded_bytes = 0
        self._asked_all = False
        self._leaving = False
        self._over = False
        self._notify(draining=ranking.draining)

    def message(self, data: bytes | memoryview) -> None:
        """A request, or the wish to have one cancelled."""
        if self._over:
            return
        try:
            number, request = read(data)
        except UnreadableError as error:
            self._turn_away(error.number, Refusal(Reason.MALFORMED_REQUEST, str(error)))
            return
        if request is not None:
            self._rank(number, request)
        elif number in self._passages:
            self._passages[number].cancel()

    def half_closed(self) -> None:
        """No more requests; the stream ends with the last answer."""
        self._asked_all = True
        self._end_if_done()

    def gone(self) -> None:
        """Nobody waits any more."""
        self._over = True
        for passage in list(self._passages.values()):
            passage.cancel()

    def draining(self) -> None:
        """Ask the client to move on; what it has asked is answered."""
        self._notify(draining=True)

    def leaving(self) -> None:
        """End with the last answer. What is unanswered then was not accepted, and the status says so."""
        self._leaving = True
        self._end_if_done()

    def _rank(self, number: int, request: bytes | memoryview) -> None:
        objection = self._objection(number)
        if objection is not None:
            self._turn_away(number, objection)
            return
        passage = self._ranking.begin(request, self._remaining.seconds(), partial(self._settle, number))
        if not passage.done:
            self._passages[number] = passage

    def _objection(self, number: int) -> Refusal | None:
        """Why a request cannot be let in, whatever it asks."""
        limits = self._limits
        if number == ABOUT_THE_STREAM:
            sentence = "id is 0; a request on a stream has an id of its own."
            return Refusal(Reason.INVALID_STREAM_ID, sentence, "id")
        if number in self._passages:
            sentence = "id is that of a request still in flight on this stream."
            return Refusal(Reason.INVALID_STREAM_ID, sentence, "id")
        if len(self._passages) >= limits.stream_in_flight_max:
            sentence = f"{limits.stream_in_flight_max} requests of this stream are in flight."
            return Refusal(Reason.STREAM_FULL, sentence, "", 1)
        if self._call.unsent_bytes > limits.unread_bytes_max:
            sentence = f"The caller has left more than {limits.unread_bytes_max} bytes of answers unread."
            return Refusal(Reason.UNREAD_ANSWERS, sentence, "", 10)
        return None

    def _turn_away(self, number: int, refusal: Refusal) -> None:
        """Refuse what is not let in. It does not touch a request in flight under the same id."""
        self._ranking.refuse(refusal, partial(self._say, number))

    def _settle(self, number: int, outcome: bytes | Refusal) -> None:
        self._passages.pop(number, None)
        self._say(number, outcome)
        self._end_if_done()

    def _say(self, number: int, outcome: bytes | Refusal) -> None:
        if self._over:
            return
        if isinstance(outcome, bytes):
            self._call.send(response(number, "ranked", outcome))
            return
        said = response(number, "refused", status.of(outcome).status.SerializeToString())
        self._call.send(said)
        # A refusal is an answer too: whoever reads none, and asks and asks, is at last told outside of flow
        # control. Answers to what was let in do not count: they are bounded by what was let in.
        if self._call.unsent_bytes <= self._limits.unread_bytes_max:
            self._unheeded_bytes = 0
            return
        self._unheeded_bytes += len(said)
        if self._unheeded_bytes > self._limits.unread_bytes_max:
            deaf = status.of(_DEAF)
            self._call.fail(deaf.code, deaf.message, deaf.trailers)
            self.gone()

    def _notify(self, *, draining: bool) -> None:
        notice = pb.Notice(in_flight_max=self._limits.stream_in_flight_max, draining=draining)
        self._call.send(pb.StreamResponse(id=ABOUT_THE_STREAM, notice=notice).SerializeToString())

    def _end_if_done(self) -> None:
        if self._passages or self._over:
            return
        if self._asked_all:
            self._over = True
            self._call.finish()
        elif self._leaving:
            self._over = True
            closing = status.of(_CLOSING)
            self._call.finish(closing.code, closing.message, closing.trailers)
