"""RankStream: many requests on one call, each with an id, a deadline, an end of its own."""

from __future__ import annotations

from functools import partial
from typing import Final

from google.protobuf.message import DecodeError

from podium.v1 import ranking_pb2 as pb
from server import status
from server.config import Limits
from server.door.call import Call, Handler, Method
from server.errors import Reason, Refusal
from server.ranking import Passage, Ranking

_ID: Final = 0x08
"""Tag of `id` in StreamRequest and StreamResponse: field 1, varint."""
_RANK: Final = 0x12
"""Tag of StreamRequest.rank and of StreamResponse.ranked: field 2, length-delimited."""
_RANKED: Final = b"\x12"
_REFUSED: Final = b"\x1a"
"""Tag of StreamResponse.refused: field 3."""
_ABOUT_THE_STREAM: Final = 0
_CLOSING: Final = Refusal(Reason.SHUTTING_DOWN, "This server is shutting down; another replica can answer.")


def method(ranking: Ranking, limits: Limits) -> Method:
    """The method."""
    return lambda call, remaining_s: _RankStream(ranking, limits, call, remaining_s)


class _RankStream(Handler):
    """One stream. A slow or refused request holds up nobody: there is no order among answers."""

    def __init__(self, ranking: Ranking, limits: Limits, call: Call, remaining_s: float | None) -> None:
        self._ranking = ranking
        self._limits = limits
        self._call = call
        self._remaining_s = remaining_s
        self._passages: dict[int, Passage] = {}
        self._asked_all = False
        self._leaving = False
        self._over = False
        self._notify(draining=ranking.draining)

    def message(self, data: bytes | memoryview) -> None:
        """A request, or the wish to have one cancelled."""
        if self._over:
            return
        found = read(data)
        if found is None:
            sentence = "The message is not a podium.v1.StreamRequest with a body."
            self._refuse(_ABOUT_THE_STREAM, Refusal(Reason.MALFORMED_REQUEST, sentence))
            return
        number, request = found
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
        refusal = self._objection(number)
        if refusal is not None:
            self._ranking.refuse(refusal, partial(self._say, number))
            return
        passage = self._ranking.begin(request, self._remaining_s, partial(self._settle, number))
        if not passage.done:
            self._passages[number] = passage

    def _objection(self, number: int) -> Refusal | None:
        """Why a request cannot be let in, whatever it asks."""
        limits = self._limits
        if number == _ABOUT_THE_STREAM:
            return Refusal(
                Reason.INVALID_STREAM_ID, "id is 0; a request on a stream has an id of its own.", "id"
            )
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

    def _settle(self, number: int, outcome: bytes | Refusal) -> None:
        self._passages.pop(number, None)
        self._say(number, outcome)
        self._end_if_done()

    def _say(self, number: int, outcome: bytes | Refusal) -> None:
        if self._over:
            return
        if isinstance(outcome, bytes):
            self._call.send(_response(number, _RANKED, outcome))
        else:
            self._refuse(number, outcome)

    def _refuse(self, number: int, refusal: Refusal) -> None:
        said = status.of(refusal, self._remaining_s).status.SerializeToString()
        self._call.send(_response(number, _REFUSED, said))
        if self._call.unsent_bytes > 2 * self._limits.unread_bytes_max:
            # Refusals are answers too. Whoever reads none of them is told once more, outside of flow control.
            self._fail(
                Refusal(Reason.UNREAD_ANSWERS, "The caller does not read; answers are dropped.", "", 10)
            )
            self.gone()

    def _fail(self, refusal: Refusal) -> None:
        self._over = True
        said = status.of(refusal)
        self._call.fail(said.code, said.message, said.trailers)

    def _notify(self, *, draining: bool) -> None:
        notice = pb.Notice(in_flight_max=self._limits.stream_in_flight_max, draining=draining)
        self._call.send(pb.StreamResponse(id=_ABOUT_THE_STREAM, notice=notice).SerializeToString())

    def _end_if_done(self) -> None:
        if self._passages or self._over:
            return
        if self._asked_all:
            self._over = True
            self._call.finish()
        elif self._leaving:
            self._fail(_CLOSING)


def read(data: bytes | memoryview) -> tuple[int, bytes | memoryview | None] | None:
    """A StreamRequest's id, and its RankRequest's bytes, None for Cancel; None for what is neither.

    By hand where it is written as every client writes it, so that the request is read only once; by the
    library otherwise.
    """
    size = len(data)
    if size > 3 and data[0] == _ID:
        number, at = _varint(data, 1)
        if at < size and data[at] == _RANK:
            length, at = _varint(data, at + 1)
            if at + length == size:
                return number, data[at:]
    try:
        message = pb.StreamRequest.FromString(data)
    except DecodeError:
        return None
    body = message.WhichOneof("body")
    if body == "rank":
        return message.id, message.rank.SerializeToString()
    return (message.id, None) if body == "cancel" else None


def _varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number of at most 64 bits, and where it ends; past the end of the data if it has none."""
    value = shift = 0
    for end in range(at, min(at + 10, len(data))):
        byte = data[end]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value, end + 1) if value < 1 << 64 else (0, len(data) + 1)
        shift += 7
    return 0, len(data) + 1


def _response(number: int, tag: bytes, body: bytes) -> bytes:
    """A StreamResponse around a message that is bytes already."""
    return b"\x08" + _encoded(number) + tag + _encoded(len(body)) + body


def _encoded(value: int) -> bytes:
    """A varint."""
    if value < 0x80:
        return bytes((value,))
    out = []
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
