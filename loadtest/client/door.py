"""How one request reaches a server and how its end is told: the seam for other protocols and for streams.

A door turns whatever its protocol says into an answer's bytes or an `Ended`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc

from loadtest.records import FAILED, KINDS, TIMEOUT
from podium.v1 import ranking_pb2 as pb
from protos import refusal

RANK: Final = f"/{pb.DESCRIPTOR.services_by_name['Ranker'].full_name}/Rank"
CONNECT_S_MAX: Final = 5.0
MESSAGE_BYTES_MAX: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Ended(Exception):
    """A request ended without an answer.

    Attributes:
        ending: one of `loadtest.records.ENDINGS`.
        reason: the server's word for it, or gRPC's.
        code: gRPC's status code as a number.
    """

    ending: str
    reason: str
    code: int


class Door(Protocol):
    """A way to a server."""

    async def open(self) -> None:
        """Connect.

        Raises:
            ConnectionError: nobody answers.
        """

    def ask(self, message: bytes, timeout_s: float) -> Coroutine[Any, Any, bytes]:
        """Begin to send at once; awaiting the result gives the answer's bytes, or raises `Ended`."""

    async def close(self) -> None:
        """Leave."""


class Unary:
    """`Ranker.Rank`, one RPC per request, over several TCP connections in turn.

    Why asyncio: beside it a blocking channel with `future()` calls took 1.28 times the CPU per request
    (median of
    7 interleaved blocks, 1.03 to 1.55; 55 KB requests, 150/s, 2 vCPU, grpcio 1.85), and its callbacks run on
    threads that compete with the sending one for the interpreter.
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

    async def open(self) -> None:
        """Wait until every connection stands."""
        try:
            ready = asyncio.gather(*(channel.channel_ready() for channel in self._channels))
            await asyncio.wait_for(ready, CONNECT_S_MAX)
        except TimeoutError as error:
            raise ConnectionError(f"no server answers at {self._address}") from error

    def ask(self, message: bytes, timeout_s: float) -> Coroutine[Any, Any, bytes]:
        """Send over the next connection."""
        self._turn = (self._turn + 1) % len(self._calls)
        return _settled(self._calls[self._turn](message, timeout=timeout_s))

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(channel.close() for channel in self._channels))


async def _settled(call: Awaitable[bytes]) -> bytes:
    try:
        return await call
    except grpc.RpcError as error:
        raise _ended(error) from None


def _ended(error: Any) -> Ended:
    code, details = error.code(), refusal.read(error.trailing_metadata() or ())
    # Without Podium's own word a no is not a refusal: it is the network, or a server that fell over.
    unsigned = TIMEOUT if code is grpc.StatusCode.DEADLINE_EXCEEDED else FAILED
    ending = details.kind if details.kind in KINDS else unsigned
    return Ended(ending, details.reason or code.name, code.value[0])
