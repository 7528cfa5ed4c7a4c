"""A connection keeps its calls apart, even from faults of our own."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import structlog

from http2.messages import Room
from http2.server import Limits
from server.door.call import Call, Handler
from server.door.listener import Listener
from server.door.unary import unary


class _Broken(Handler):
    """Fails in a way that nobody foresaw."""

    def message(self, data: bytes | memoryview) -> None:
        raise ZeroDivisionError


def _echo(data: bytes | memoryview, call: Call) -> None:
    call.answer(bytes(data))


def test_a_fault_of_ours_ends_its_own_call_alone() -> None:
    """The call that met it ends INTERNAL; calls of the same connection, before and after, are answered."""

    async def scene() -> None:
        methods = {"/a.A/Echo": unary(_echo), "/a.A/Broken": lambda call, remaining_s: _Broken()}
        with structlog.testing.capture_logs() as logs:
            limits = Limits(1 << 20, 100, Room(1 << 20))
            listener = Listener(methods, limits, structlog.get_logger(), keepalive_s=30.0)
            port = await listener.listen("127.0.0.1", 0)
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                echo, broken = channel.unary_unary("/a.A/Echo"), channel.unary_unary("/a.A/Broken")
                assert b"before" == await echo(b"before", timeout=20)
                ended = await asyncio.gather(
                    echo(b"beside", timeout=20), broken(b"", timeout=20), return_exceptions=True
                )
                assert b"after" == await echo(b"after", timeout=20)
            await listener.leave(5.0)
        assert b"beside" == ended[0]
        assert isinstance(ended[1], grpc.aio.AioRpcError)
        assert grpc.StatusCode.INTERNAL == ended[1].code()
        assert ["call failed"] == [entry["event"] for entry in logs]

    asyncio.run(scene())
