"""The asyncio client: the same shell as `blocking`, awaited."""

from __future__ import annotations

import asyncio
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
from podium.client.stream.aio import AsyncStreams
from podium.client.throttle import DEFAULT, Throttle, ThrottlePolicy
from podium.v1 import ranking_pb2 as pb


class AsyncClient:
    """Ranks candidates on one Podium service. Make it inside a running event loop; it belongs to that loop.

    Example:
        async with AsyncClient("127.0.0.1:50051") as client:
            ranked = await client.rank("movies", ids=ids, context={"history": seen}, deadline_s=0.025)
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
        streams_per_backend: int = 8,
    ) -> None:
        """Connect when first used; arguments and errors as those of `Client`. Streams cost no threads."""

        def connect(target: str, more: Sequence[tuple[str, Any]] = ()) -> grpc.aio.Channel:
            every = (*OPTIONS, *more, *options)
            if credentials is None:
                return grpc.aio.insecure_channel(target, every)
            return grpc.aio.secure_channel(target, credentials, every)

        self._streams = (
            AsyncStreams(
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way end as cancelled, on streams after a moment's grace."""
        if self._streams is not None:
            await self._streams.close()
        await self._channel.close()

    async def rank(
        self, request: RankingRequest | str, *, deadline_s: float, **fields: Unpack[RankingFields]
    ) -> Ranked:
        """Rank the candidates of one request; arguments and errors as `Client.rank`."""
        return await self._send(message_of(request, **fields), deadline_s)

    async def rank_message(self, message: bytes | pb.RankRequest, *, deadline_s: float) -> Ranked:
        """Rank a wire message; arguments and errors as `Client.rank_message`."""
        return await self._send(parsed(message), deadline_s)

    async def models(
        self, model: str = "", *, with_manifest: bool = False, deadline_s: float = 5.0
    ) -> list[ModelVersion]:
        """Every version that the server knows; arguments and errors as `Client.models`."""
        request = pb.ListModelsRequest(model=model, with_manifest=with_manifest)
        try:
            return decode_models(await self._list(request, timeout=deadline_s))
        except grpc.RpcError as error:
            raise RankRefused.of(error) from error

    async def _send(self, message: pb.RankRequest, deadline_s: float) -> Ranked:
        attempts = Attempts(message, deadline_s, time.monotonic(), self._retry, self._throttle)
        while True:
            attempts.ask_leave(time.monotonic(), random.random())
            try:
                if self._streams is not None:
                    response = await self._streams.ask(attempts)
                else:
                    payload, timeout_s = attempts.send(time.monotonic())
                    response = await self._ask(payload, timeout_s)
                attempts.answered(time.monotonic())
                return decode(message, response)
            except RankRefused as refused:
                wait_s = attempts.wait_s(refused, time.monotonic(), random.random())
            await asyncio.sleep(wait_s)

    async def _ask(self, payload: bytes, timeout_s: float) -> pb.RankResponse:
        try:
            response: pb.RankResponse = await self._rank(payload, timeout=timeout_s)
        except grpc.RpcError as error:
            raise RankRefused.of(error) from error
        return response
