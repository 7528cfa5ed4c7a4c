"""The door through grpcio's own client: slower to send than ours, and made by others. For a second
opinion."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import grpc

from loadtest.client.door import CONNECT_S_MAX, MESSAGE_BYTES_MAX, RANK, Settle, ended


class Grpcio:
    """`Ranker.Rank` by grpc.aio, one RPC per request, over several TCP connections in turn.

    Why its asyncio side: beside it a blocking channel with `future()` calls took 1.28 times the CPU per
    request
    (median of 7 interleaved blocks, 1.03 to 1.55; 55 KB requests, 150/s, 2 vCPU, grpcio 1.85), and its
    callbacks run on threads that compete with the sending one for the interpreter.
    """

    def __init__(self, address: str, connections: int) -> None:
        # A subchannel pool of its own each: or all channels would share one TCP connection.
        options = (
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        )
        self._address = address
        self._channels = [grpc.aio.insecure_channel(address, options) for _ in range(connections)]
        # Without serializers the messages stay bytes.
        self._calls = [channel.unary_unary(RANK) for channel in self._channels]
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Wait until every connection stands."""
        try:
            ready = asyncio.gather(*(channel.channel_ready() for channel in self._channels))
            await asyncio.wait_for(ready, CONNECT_S_MAX)
        except TimeoutError as error:
            raise ConnectionError(f"no server answers at {self._address}") from error

    def ask(self, number: int, message: bytes, timeout_s: float, settle: Settle) -> None:
        """Send over the next connection."""
        self._turn = (self._turn + 1) % len(self._calls)
        call = self._calls[self._turn](message, timeout=timeout_s)
        task = asyncio.create_task(_settled(number, call, settle))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(channel.close() for channel in self._channels))


async def _settled(number: int, call: Awaitable[bytes], settle: Settle) -> None:
    try:
        data = await call
    except grpc.RpcError as error:
        settle(number, time.monotonic_ns(), ended(error.code().value[0], error.trailing_metadata() or ()))
    else:
        settle(number, time.monotonic_ns(), data)
