"""The blocking client: a thin shell around `attempts`. Safe to share between threads."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, Self, Unpack

import grpc

from podium.client.attempts import Attempts
from podium.client.channel import LIST_MODELS, OPTIONS, RANK, message_of, parsed, stream_options
from podium.client.decode import decode, decode_models
from podium.client.ranked import ModelVersion, Ranked
from podium.client.refused import RankRefused
from podium.client.request import RankingFields, RankingRequest
from podium.client.retry import ONCE_MORE, RetryPolicy
from podium.client.stream.blocking import Streams
from podium.client.throttle import DEFAULT, Throttle, ThrottlePolicy
from podium.v1 import ranking_pb2 as pb


class Client:
    """Ranks candidates on one Podium service.

    Example:
        with Client("127.0.0.1:50051") as client:
            ranked = client.rank("movies", ids=ids, context={"history": seen}, deadline_s=0.025)
            best = ranked.ids[:10]
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
        retry: RetryPolicy = ONCE_MORE,
        throttle: ThrottlePolicy | None = DEFAULT,
        stream: bool = False,
        streams_per_backend: int = 4,
    ) -> None:
        """Connect when first used.

        Args:
            target: host:port, or any other gRPC target.
            credentials: None = plain text.
            options: gRPC channel options, added to (and winning over) `channel.OPTIONS`.
            throttle: when to refuse here what the servers would refuse; None = never.
            stream: send over `RankStream` to each backend, instead of a call per request; the answers are
                the same. The target must be one that names its backends: host:port, a comma list of
                these, dns:, ipv4:, ipv6:, unix:. Such a client must be closed, for its threads keep it alive.

            streams_per_backend: with stream, how many share a backend's connection. gRPC for Python sends one
                message at a time on each, so that several cost less than one when much is in flight.

        Raises:
            ValueError: stream is set, and the target does not name its backends or there are no streams.
        """

        def connect(target: str, more: Sequence[tuple[str, Any]] = ()) -> grpc.Channel:
            every = (*OPTIONS, *more, *options)
            if credentials is None:
                return grpc.insecure_channel(target, every)
            return grpc.secure_channel(target, credentials, every)

        self._streams = (
            Streams(
                target,
                streams_per_backend,
                lambda address: connect(address.target, stream_options(address)),
            )
            if stream
            else None
        )
        self._channel = connect(target)
        self._rank = self._channel.unary_unary(RANK, response_deserializer=pb.RankResponse.FromString)
        self._list = self._channel.unary_unary(
            LIST_MODELS,
            request_serializer=pb.ListModelsRequest.SerializeToString,
            response_deserializer=pb.ListModelsResponse.FromString,
        )
        self._retry = retry
        self._throttle = None if throttle is None else Throttle(throttle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way end as cancelled, on streams after a moment's grace."""
        if self._streams is not None:
            self._streams.close()
        self._channel.close()

    def rank(
        self, request: RankingRequest | str, *, deadline_s: float, **fields: Unpack[RankingFields]
    ) -> Ranked:
        """Rank the candidates of one request.

        Args:
            request: a request, or a model's name; `fields` are those of `RankingRequest`.
            deadline_s: how long to wait in all, retries included. There is no default: only the caller knows.

        Raises:
            RankRefused: it was not ranked.
            ValueError: the request cannot be sent, or deadline_s is not above 0.
        """
        return self._send(message_of(request, **fields), deadline_s)

    def rank_message(self, message: bytes | pb.RankRequest, *, deadline_s: float) -> Ranked:
        """Rank a wire message, as a request set holds it; a shorter `timeout_us` of its own is kept.

        Raises:
            RankRefused: it was not ranked.
            ValueError: it is no RankRequest, or deadline_s is not above 0.
        """
        return self._send(parsed(message), deadline_s)

    def models(
        self, model: str = "", *, with_manifest: bool = False, deadline_s: float = 5.0
    ) -> list[ModelVersion]:
        """Every version that the server knows, or those of one model.

        Raises:
            RankRefused: the server did not say.
        """
        request = pb.ListModelsRequest(model=model, with_manifest=with_manifest)
        try:
            return decode_models(self._list(request, timeout=deadline_s))
        except grpc.RpcError as error:
            raise RankRefused.of(error) from error

    def _send(self, message: pb.RankRequest, deadline_s: float) -> Ranked:
        attempts = Attempts(message, deadline_s, time.monotonic(), self._retry, self._throttle)
        while True:
            attempts.ask_leave(time.monotonic(), random.random())
            try:
                if self._streams is not None:
                    response = self._streams.ask(attempts)
                else:
                    payload, timeout_s = attempts.send(time.monotonic())
                    response = self._ask(payload, timeout_s)
                attempts.answered(time.monotonic())
                return decode(message, response)
            except RankRefused as refused:
                wait_s = attempts.wait_s(refused, time.monotonic(), random.random())
            time.sleep(wait_s)

    def _ask(self, payload: bytes, timeout_s: float) -> pb.RankResponse:
        try:
            response: pb.RankResponse = self._rank(payload, timeout=timeout_s)
        except grpc.RpcError as error:
            raise RankRefused.of(error) from error
        return response
