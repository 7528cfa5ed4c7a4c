"""Server reflection, so that grpcurl can ask without a .proto file; the descriptors' logic is grpcio's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha import reflection_pb2 as pb

from server.door.call import Call, Handler, Method
from server.errors import Code

SERVICE = reflection.SERVICE_NAME
_UNREAD_BYTES_MAX: Final = 1 << 20
"""A question of 20 bytes has an answer of thousands."""


def methods(services: Iterable[str]) -> dict[str, Method]:
    """By path; `services` are the names to tell of."""
    servicer = reflection.ReflectionServicer([*services, SERVICE])
    return {f"/{SERVICE}/ServerReflectionInfo": lambda call, _: _Info(servicer, call)}


class _Info(Handler):
    """One stream of questions."""

    def __init__(self, servicer: reflection.ReflectionServicer, call: Call) -> None:
        self._servicer = servicer
        self._call = call

    def message(self, data: bytes | memoryview) -> None:
        try:
            request = pb.ServerReflectionRequest.FromString(bytes(data))
        except DecodeError:
            self._call.fail(Code.INVALID_ARGUMENT, "The message is not a ServerReflectionRequest.")
            return
        if self._call.unsent_bytes > _UNREAD_BYTES_MAX:
            self._call.fail(Code.RESOURCE_EXHAUSTED, "The caller does not read the answers.")
            return
        for response in self._servicer.ServerReflectionInfo(iter((request,)), None):
            self._call.send(response.SerializeToString())

    def half_closed(self) -> None:
        self._call.finish()

    def leaving(self) -> None:
        self._call.fail(Code.UNAVAILABLE, "This server is shutting down.")
