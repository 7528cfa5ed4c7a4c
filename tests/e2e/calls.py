"""Calls as a test makes them: bytes in; scores, or the refusal as the caller reads it, out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from podium.v1 import ranking_pb2 as pb
from protos import refusal
from tests.bundles.tiny import Scores

CALL_S_MAX = 20.0
"""A call that takes longer hangs."""


@dataclass(frozen=True)
class Refused:
    """A refusal as the caller reads it."""

    code: grpc.StatusCode
    kind: str
    reason: str
    field: str
    message: str
    pushback_ms: int | None
    retry_after_s: float | None


@dataclass(frozen=True)
class Ranked:
    """An answer with scores."""

    response: pb.RankResponse

    @property
    def scores(self) -> Scores:
        return np.frombuffer(self.response.scores, np.dtype("<f4"))

    @property
    def outcomes(self) -> list[int]:
        return list(self.response.outcomes)

    @property
    def flags(self) -> list[int]:
        return list(self.response.flags)


Answer = Ranked | Refused


class Pending(ABC):
    """A request under way.

    Attributes:
        ended_s: when its end came, on time.monotonic's clock.
        in_band: the server said its end to it alone; else the network, or the end of its stream did.
    """

    ended_s = float("inf")
    in_band = False

    @abstractmethod
    def answer(self) -> Answer:
        """Wait for it."""

    @abstractmethod
    def cancel(self) -> None:
        """Take it back."""

    def ranked(self) -> Ranked:
        """Wait for it; it must have been scored."""
        answer = self.answer()
        assert isinstance(answer, Ranked), answer
        return answer

    def refused(self) -> Refused:
        """Wait for it; it must have been refused."""
        answer = self.answer()
        assert isinstance(answer, Refused), answer
        return answer


class UnaryCall(Pending):
    """A call of Rank."""

    def __init__(self, call: Any) -> None:
        self._call = call
        call.add_done_callback(self._note_end)

    def _note_end(self, _: Any) -> None:
        self.ended_s = time.monotonic()

    def answer(self) -> Answer:
        """Wait for it."""
        try:
            data = self._call.result(CALL_S_MAX)
        except grpc.RpcError as error:
            refused = refused_by(error)
            self.in_band = bool(refused.reason)
            return refused
        self.in_band = True
        return Ranked(pb.RankResponse.FromString(data))

    def cancel(self) -> None:
        """End the call."""
        self._call.cancel()


def refused_by(error: Any) -> Refused:
    """A call's status, when it is not OK."""
    details = refusal.read(error.trailing_metadata() or ())
    return Refused(
        error.code(),
        details.kind,
        details.reason,
        details.field,
        error.details(),
        details.pushback_ms,
        details.retry_after_s,
    )


class Caller:
    """One channel, without gRPC's own retries: a test wants to see the first answer."""

    never: int | None = -1
    """What `Refused.pushback_ms` is where a retry cannot help."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self._rank = channel.unary_unary("/podium.v1.Ranker/Rank")
        self._list = channel.unary_unary(
            "/podium.v1.Ranker/ListModels",
            request_serializer=pb.ListModelsRequest.SerializeToString,
            response_deserializer=pb.ListModelsResponse.FromString,
        )

    def send(self, request: pb.RankRequest | bytes, timeout_s: float | None = CALL_S_MAX) -> UnaryCall:
        """Begin a call."""
        data = request if isinstance(request, bytes) else request.SerializeToString()
        return UnaryCall(self._rank.future(data, timeout=timeout_s))

    def send_all(self, requests: Sequence[pb.RankRequest | bytes]) -> list[UnaryCall]:
        """Begin several calls at once."""
        return [self.send(request) for request in requests]

    def models(self, model: str = "", *, with_manifest: bool = False) -> list[pb.ModelVersion]:
        """ListModels."""
        request = pb.ListModelsRequest(model=model, with_manifest=with_manifest)
        return list(self._list(request, timeout=CALL_S_MAX).models)


@contextmanager
def dial(target: str) -> Iterator[Caller]:
    """A caller on a channel of its own."""
    options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(target, options=options) as channel:
        yield Caller(channel)
