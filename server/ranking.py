"""One request from bytes to answer, whatever door it came through: decode, admit, run, encode, count.

Rule: every request ends in exactly one `_count_*` and one `settle`; nothing here knows a gRPC status. All of
it runs on the event loop, and none of it waits: a request is a `Passage` between two calls, not a task.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from http2.messages import Room
from podium.v1 import ranking_pb2 as pb
from server import reply, wire
from server.catalog import Catalog, ServedVersion
from server.core.decisions import Lane, Ticket
from server.dispatcher import Dispatcher
from server.domain import Head, Importance, RankingRequest, Scored
from server.errors import RULES, Kind, Reason, Refusal, Refused
from server.lift import lift
from server.metrics import Metrics
from server.pace import Pace
from server.pulse import Pulse
from server.run import clock_ns

UNKNOWN = "unknown"
"""Label of a request whose model is not one of ours: a caller's text must not become a label."""

_ADMITTED_KINDS = frozenset({Kind.EXPIRED, Kind.FAILED})
_NEVER_ADMITTED = frozenset({Reason.EXPIRED_ON_ARRIVAL, Reason.DEADLINE_TOO_SHORT})
"""A deadline that no server could have met is the caller's: it counts neither for nor against the budget."""

_identity = cache(reply.Identity)
"""One per lane: as many as are loaded."""

Settle = Callable[[bytes | Refusal], None]
"""Told once, on the loop: a serialised RankResponse, or why there is none. It does not raise."""


class Passage:
    """One request on its way: what is known of it so far, and whom to tell its end."""

    __slots__ = (
        "arrival_ns",
        "deadline_ns",
        "decoded_ns",
        "done",
        "importance",
        "lane",
        "model",
        "offered_ns",
        "ranking",
        "request",
        "served",
        "settle",
        "size",
        "ticket",
        "version",
    )

    def __init__(self, ranking: Ranking, size: int, settle: Settle, arrival_ns: int) -> None:
        self.ranking = ranking
        self.size = size
        self.settle = settle
        self.arrival_ns = arrival_ns
        self.model = UNKNOWN
        self.version = ""
        self.importance = Importance.DEFAULT
        self.deadline_ns = self.decoded_ns = self.offered_ns = 0
        self.done = False
        self.ticket: Ticket | None = None
        self.request: RankingRequest | None = None
        self.served: ServedVersion
        self.lane: Lane

    def end(self) -> Settle:
        """Forget what is not needed any more; whom to tell.

        The door keeps the passage and the passage its door: without this only the garbage collector would
        free a request's bytes, 20,000 allocations later.
        """
        self.done = True
        self.request = self.ticket = None
        settle, self.settle = self.settle, _nobody
        return settle

    def scored(self, outcome: Scored | Refusal) -> None:
        """The dispatcher's word: scores, or why there are none."""
        if not self.done:
            self.ranking.finish(self, outcome)

    def cancel(self) -> None:
        """The caller does not want it any more; it ends CALLER_CANCELLED, unless it has ended."""
        if not self.done:
            self.ranking.cancel(self)


def _nobody(_: bytes | Refusal) -> None:
    """Whom an ended passage tells."""


class Ranking:
    """Answers requests from the current catalog. `catalog` is None while it loads."""

    def __init__(self, dispatcher: Dispatcher, metrics: Metrics, room: Room, log: Any) -> None:
        self.catalog: Catalog | None = None
        self.draining = False
        """The server will leave soon; it still answers."""
        self.closing = False
        """It answers no more."""
        self.pulse = Pulse(clock_ns())
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._room = room
        self._log = log
        self._pace = Pace()
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Requests inside."""
        return self._in_flight

    def begin(self, data: bytes | memoryview, remaining_s: float | None, settle: Settle) -> Passage:
        """Rank one request; `settle` is told its end, perhaps before this returns.

        Args:
            data: a serialised RankRequest.
            remaining_s: time the caller's deadline leaves; None when it set none.
        """
        passage = self._enter(len(data), settle)
        try:
            self._submit(passage, data, remaining_s)
        except Refused as error:
            if error.refusal.reason is Reason.OVERLOADED:
                self._pace.hold(partial(self._end_held, passage, error.refusal))
            else:
                self._end_refused(passage, error.refusal)
        except Exception:  # the last line: whatever it was, it is one request's failure
            self._end_failed(passage)
        return passage

    def refuse(self, refusal: Refusal, settle: Settle) -> None:
        """End a request that a door cannot let in, counted like every other."""
        self._end_refused(self._enter(0, settle), refusal)

    def finish(self, passage: Passage, outcome: Scored | Refusal) -> None:
        """The dispatcher has an outcome for a request that has not ended."""
        if isinstance(outcome, Refusal):
            self._end_refused(passage, outcome)
            return
        try:
            answer = self._encode(passage, outcome)
        except Refused as error:
            self._end_refused(passage, error.refusal)
        except Exception:  # as in `begin`
            self._end_failed(passage)
        else:
            self._leave(passage, answer)

    def cancel(self, passage: Passage) -> None:
        """End a request that nobody waits for any more; a run that it is part of goes on without it."""
        if passage.ticket is not None:
            self._dispatcher.cancel(passage.ticket)
        self._end_refused(passage, Refusal(Reason.CALLER_CANCELLED, "The caller left."))

    def _enter(self, size: int, settle: Settle) -> Passage:
        self._in_flight += 1
        self._room.used += size
        return Passage(self, size, settle, self.pulse.arrival_ns(clock_ns()))

    def _leave(self, passage: Passage, outcome: bytes | Refusal) -> None:
        self._in_flight -= 1
        self._room.used -= passage.size
        passage.end()(outcome)

    def _end_refused(self, passage: Passage, refusal: Refusal) -> None:
        self._count_refusal(passage, refusal)
        self._leave(passage, refusal)

    def _end_held(self, passage: Passage, refusal: Refusal) -> None:
        if not passage.done:  # the caller may have left meanwhile
            self._end_refused(passage, refusal)

    def _end_failed(self, passage: Passage) -> None:
        self._log.exception("request failed", model=passage.model)
        self._end_refused(passage, Refusal(Reason.INTERNAL_ERROR, "The server failed; its log says why."))

    def _submit(self, passage: Passage, data: bytes | memoryview, remaining_s: float | None) -> None:
        self._check_open()
        rest, lifted = lift(data)
        message = wire.parse(rest)
        served, lane = self._find(message, passage)
        head = served.decoder.head(message)
        deadline_ns = _deadline_ns(head, served, remaining_s, passage)
        if deadline_ns <= clock_ns():
            raise wire.refuse(Reason.EXPIRED_ON_ARRIVAL, "The deadline had passed when the request was read.")
        number = self._dispatcher.number()
        ticket = Ticket(number, lane, head.rows, passage.arrival_ns, deadline_ns, head.importance)
        self._dispatcher.look(ticket)
        request = served.decoder.body(message, head, lifted)
        lengths = request.payload.lengths
        if lengths is not None:  # known only now: what it costs is counted in tokens
            ticket = ticket._replace(ends=lengths.cumsum())
        passage.decoded_ns = clock_ns()
        passage.served, passage.lane, passage.request = served, lane, request
        passage.offered_ns = self._dispatcher.submit(ticket, request.payload, passage.scored)
        passage.ticket = ticket

    def _encode(self, passage: Passage, scored: Scored) -> bytes:
        """Scores to the answer's bytes."""
        split_ns = clock_ns()
        stamps, lane, served, request = scored.stamps, passage.lane, passage.served, passage.request
        assert request is not None
        heads = scored.heads
        if request.weights is None:
            scores = reply.combine(heads, served.bundle.manifest.combine.weights)
        else:
            scores = reply.combine_as_asked(heads, request.weights)
        answer = reply.encode(request, scores, _identity(lane.model, lane.version, lane.variant), heads)
        done_ns = clock_ns()
        timings = reply.Timings(
            (passage.decoded_ns - passage.arrival_ns) // 1000,
            (stamps.started_ns - passage.offered_ns) // 1000,
            (stamps.formed_ns - stamps.started_ns) // 1000,
            (stamps.ran_ns - stamps.formed_ns) // 1000,
            (done_ns - split_ns) // 1000,
            (done_ns - passage.arrival_ns) // 1000,
        )
        data = answer.body + reply.encode_timings(timings, stamps)
        self._count_answer(passage, scored, answer, timings, done_ns)
        return data

    def _check_open(self) -> None:
        if self.closing:
            raise wire.refuse(
                Reason.SHUTTING_DOWN, "This server is shutting down; another replica can answer."
            )
        if self._room.full:
            sentence = f"Requests in flight hold more than {self._room.bytes_max} bytes."
            raise Refused(Refusal(Reason.IN_FLIGHT_BYTES, sentence, "", 10))

    def _find(self, message: pb.RankRequest, passage: Passage) -> tuple[ServedVersion, Lane]:
        if self.catalog is None:
            raise Refused(Refusal(Reason.MODEL_LOADING, "Models are loading.", "model", 500))
        served, lane = self.catalog.find(message.model, message.version, message.variant)
        passage.model, passage.version = lane.model, str(lane.version)
        return served, lane

    def _count_answer(
        self,
        passage: Passage,
        scored: Scored,
        answer: reply.Answer,
        stages: reply.Timings,
        done_ns: int,
    ) -> None:
        metrics, model, stamps = self._metrics, passage.model, scored.stamps
        importance = passage.importance.name.lower()
        metrics.requests.add(model, passage.version, "scored")
        metrics.steps.add(model, "full")
        metrics.request_duration.observe((done_ns - passage.arrival_ns) / 1e9, model, "scored")
        metrics.stage_duration.observe(stages.decode_us / 1e6, model, "decode")
        metrics.stage_duration.observe(stages.queue_us / 1e6, model, "queue")
        metrics.stage_duration.observe(stages.form_us / 1e6, model, "form")
        metrics.stage_duration.observe(stages.run_us / 1e6, model, "run")
        metrics.stage_duration.observe((done_ns - stamps.ran_ns) / 1e9, model, "reply")
        metrics.candidates.add(model, "scored", amount=answer.scored)
        if answer.invalid:
            metrics.candidates.add(model, "invalid", amount=answer.invalid)
        metrics.budget_requests.add(model, importance)
        slack_ns = passage.deadline_ns - done_ns
        if slack_ns >= 0:
            metrics.slack.observe(slack_ns / 1e9, model)
        else:
            metrics.late.observe(-slack_ns / 1e9, model)
            metrics.budget_violations.add(model, importance, "late")

    def _count_refusal(self, passage: Passage, refusal: Refusal) -> None:
        metrics, kind = self._metrics, RULES[refusal.reason].kind
        metrics.requests.add(passage.model, passage.version, kind.value)
        metrics.refusals.add(passage.model, kind.value, refusal.reason.value)
        metrics.refusal_duration.observe((clock_ns() - passage.arrival_ns) / 1e9, kind.value)
        if kind in _ADMITTED_KINDS and refusal.reason not in _NEVER_ADMITTED:
            importance = passage.importance.name.lower()
            metrics.budget_requests.add(passage.model, importance)
            metrics.budget_violations.add(passage.model, importance, kind.value)


def _deadline_ns(head: Head, served: ServedVersion, remaining_s: float | None, passage: Passage) -> int:
    """min(the RPC's deadline, arrival + timeout_us, arrival + budget of the importance class)."""
    limit_ns = served.budget_ns[head.importance]
    if head.timeout_ns is not None:
        limit_ns = min(limit_ns, head.timeout_ns)
    if remaining_s is not None:
        limit_ns = min(limit_ns, int(remaining_s * 1e9))
    passage.importance = head.importance
    passage.deadline_ns = passage.arrival_ns + limit_ns
    return passage.deadline_ns
