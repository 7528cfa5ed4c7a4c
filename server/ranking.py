"""One request from bytes to answer, whatever door it came through: decode, admit, run, encode, count.

Rule: every request ends in exactly one `_count_*`; nothing here knows a gRPC status.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from podium.v1 import ranking_pb2 as pb
from server import reply, wire
from server.catalog import Catalog, ServedVersion
from server.config import Limits
from server.core.decisions import Lane
from server.dispatcher import Dispatcher, clock_ns
from server.domain import Importance, RankingRequest, Scored
from server.errors import RULES, Kind, Reason, Refusal, Refused
from server.metrics import Metrics

UNKNOWN = "unknown"
"""Label of a request whose model is not one of ours: a caller's text must not become a label."""

_ADMITTED_KINDS = frozenset({Kind.EXPIRED, Kind.FAILED})
_NEVER_ADMITTED = frozenset({Reason.EXPIRED_ON_ARRIVAL, Reason.DEADLINE_TOO_SHORT})
"""A deadline that no server could have met is the caller's: it counts neither for nor against the budget."""


@dataclass(slots=True)
class _Passage:
    """What is known so far about a request on its way; labels for its ending."""

    arrival_ns: int
    model: str = UNKNOWN
    version: str = ""
    importance: Importance = Importance.DEFAULT
    deadline_ns: int | None = None


class Ranking:
    """Answers requests from the current catalog. `catalog` is None while it loads."""

    def __init__(self, dispatcher: Dispatcher, metrics: Metrics, limits: Limits, log: Any) -> None:
        self.catalog: Catalog | None = None
        self.closing = False
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._limits = limits
        self._log = log
        self._in_flight = 0
        self._in_flight_bytes = 0

    @property
    def in_flight(self) -> int:
        """Requests inside."""
        return self._in_flight

    async def answer(self, data: bytes, remaining_s: float | None) -> pb.RankResponse:
        """Rank one request.

        Args:
            data: a serialised RankRequest.
            remaining_s: time the caller's deadline leaves; None when it set none.

        Raises:
            Refused: it will not be answered with scores; counted already.
        """
        passage = _Passage(clock_ns())
        self._in_flight += 1
        self._in_flight_bytes += len(data)
        try:
            return await self._answer(data, remaining_s, passage)
        except Refused as error:
            self._count_refusal(passage, error.refusal)
            raise
        except asyncio.CancelledError:
            gone = Refusal(Reason.CALLER_CANCELLED, "The caller left.")
            self._count_refusal(passage, gone)
            raise
        except Exception as error:  # the last line: whatever it was, it is one request's failure
            self._log.exception("request failed", model=passage.model)
            failed = Refusal(Reason.INTERNAL_ERROR, "The server failed; its log says why.")
            self._count_refusal(passage, failed)
            raise Refused(failed) from error
        finally:
            self._in_flight -= 1
            self._in_flight_bytes -= len(data)

    async def _answer(self, data: bytes, remaining_s: float | None, passage: _Passage) -> pb.RankResponse:
        self._check_open()
        message = wire.parse(data)
        served, lane = self._find(message, passage)
        request = served.decoder.decode(message)
        decoded_ns = clock_ns()
        deadline_ns = _deadline_ns(request, served, remaining_s, passage)
        if deadline_ns <= decoded_ns:
            raise wire.refuse(Reason.EXPIRED_ON_ARRIVAL, "The deadline had passed when the request was read.")
        scored, offered_ns = await self._dispatcher.submit(
            lane, request.payload, passage.arrival_ns, deadline_ns
        )
        split_ns = clock_ns()
        stamps = scored.stamps
        scores = reply.combine(scored.heads, served.bundle.manifest.combine.weights)
        timings = reply.Timings(
            decode_us=(decoded_ns - passage.arrival_ns) // 1000,
            queue_us=(stamps.started_ns - offered_ns) // 1000,
            form_us=(stamps.formed_ns - stamps.started_ns) // 1000,
            run_us=(stamps.ran_ns - stamps.formed_ns) // 1000,
        )
        identity = reply.Identity(lane.model, lane.version, lane.variant)
        response = reply.encode(request, scores, identity, timings, scored)
        done_ns = clock_ns()
        response.timings.split_us = (done_ns - split_ns) // 1000
        response.timings.total_us = (done_ns - passage.arrival_ns) // 1000
        self._count_answer(passage, request, scored, response, done_ns)
        return response

    def _check_open(self) -> None:
        if self.closing:
            raise wire.refuse(
                Reason.SHUTTING_DOWN, "This server is shutting down; another replica can answer."
            )
        if self._in_flight_bytes > self._limits.in_flight_bytes_max:
            sentence = f"Requests in flight hold more than {self._limits.in_flight_bytes_max} bytes."
            raise Refused(Refusal(Reason.IN_FLIGHT_BYTES, sentence, "", 10))

    def _find(self, message: pb.RankRequest, passage: _Passage) -> tuple[ServedVersion, Lane]:
        if self.catalog is None:
            raise Refused(Refusal(Reason.MODEL_LOADING, "Models are loading.", "model", 500))
        served, lane = self.catalog.find(message.model, message.version, message.variant)
        passage.model, passage.version = lane.model, str(lane.version)
        return served, lane

    def _count_answer(
        self,
        passage: _Passage,
        request: RankingRequest,
        scored: Scored,
        response: pb.RankResponse,
        done_ns: int,
    ) -> None:
        metrics, model, stamps = self._metrics, passage.model, scored.stamps
        importance = passage.importance.name.lower()
        metrics.requests.add(model, passage.version, "scored")
        metrics.steps.add(model, "full")
        metrics.request_duration.observe((done_ns - passage.arrival_ns) / 1e9, model, "scored")
        stages = response.timings
        metrics.stage_duration.observe(stages.decode_us / 1e6, model, "decode")
        metrics.stage_duration.observe(stages.queue_us / 1e6, model, "queue")
        metrics.stage_duration.observe(stages.form_us / 1e6, model, "form")
        metrics.stage_duration.observe(stages.run_us / 1e6, model, "run")
        metrics.stage_duration.observe((done_ns - stamps.ran_ns) / 1e9, model, "reply")
        metrics.candidates.add(model, "scored", amount=response.coverage.scored)
        if response.coverage.invalid:
            metrics.candidates.add(model, "invalid", amount=response.coverage.invalid)
        metrics.budget_requests.add(model, importance)
        assert passage.deadline_ns is not None
        slack_ns = passage.deadline_ns - done_ns
        if slack_ns >= 0:
            metrics.slack.observe(slack_ns / 1e9, model)
        else:
            metrics.late.observe(-slack_ns / 1e9, model)
            metrics.budget_violations.add(model, importance, "late")

    def _count_refusal(self, passage: _Passage, refusal: Refusal) -> None:
        metrics, kind = self._metrics, RULES[refusal.reason].kind
        metrics.requests.add(passage.model, passage.version, kind.value)
        metrics.refusals.add(passage.model, kind.value, refusal.reason.value)
        metrics.refusal_duration.observe((clock_ns() - passage.arrival_ns) / 1e9, kind.value)
        if kind in _ADMITTED_KINDS and refusal.reason not in _NEVER_ADMITTED:
            importance = passage.importance.name.lower()
            metrics.budget_requests.add(passage.model, importance)
            metrics.budget_violations.add(passage.model, importance, kind.value)


def _deadline_ns(
    request: RankingRequest, served: ServedVersion, remaining_s: float | None, passage: _Passage
) -> int:
    """min(the RPC's deadline, arrival + timeout_us, arrival + budget of the importance class)."""
    limit_ns = served.budget_ns[request.importance]
    if request.timeout_ns is not None:
        limit_ns = min(limit_ns, request.timeout_ns)
    if remaining_s is not None:
        limit_ns = min(limit_ns, int(remaining_s * 1e9))
    passage.importance = request.importance
    passage.deadline_ns = passage.arrival_ns + limit_ns
    return passage.deadline_ns
