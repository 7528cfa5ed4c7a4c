"""A RankStream server that follows a script: grpcio's own server, so that nothing of ours is on its side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from podium.client.channel import RANK_STREAM
from podium.v1 import ranking_pb2 as pb

GREETING = pb.StreamResponse(notice=pb.Notice(in_flight_max=1024))
DRAINING = pb.StreamResponse(notice=pb.Notice(draining=True))


class Heard:
    """One stream as its server sees it.

    Attributes:
        number: streams of this server count from 0.
        asked: request_ids, in the order in which they came.
        timeouts_us: the time that each of them left.
        cancelled: ids.
        half_closed: the client has said its last word.
        peer: the connection's other end.
    """

    def __init__(self, number: int, messages: Iterator[pb.StreamRequest], context: Any) -> None:
        self.number = number
        self.asked: list[str] = []
        self.timeouts_us: list[int] = []
        self.cancelled: list[int] = []
        self.half_closed = False
        self.peer: str = context.peer()
        self._messages = messages
        self._context = context

    def next(self) -> pb.StreamRequest | None:
        """The next message; None after the last one."""
        try:
            said = next(self._messages)
        except StopIteration:
            self.half_closed = True
            return None
        except Exception:  # what grpcio raises here, when the client has broken off, is an Exception
            return None
        if said.HasField("rank"):
            self.asked.append(said.rank.request_id)
            self.timeouts_us.append(said.rank.timeout_us)
        else:
            self.cancelled.append(said.id)
        return said

    def some(self, count: int) -> list[pb.StreamRequest]:
        """The next so many."""
        said = [self.next() for _ in range(count)]
        assert None not in said, "the client left early"
        return [each for each in said if each is not None]

    def die(self, code: grpc.StatusCode) -> None:
        """End the stream with a status; does not return."""
        self._context.abort(code, "as the script says")

    def serve(self) -> Iterator[pb.StreamResponse]:
        """Answer everything until the client ends the stream."""
        while (said := self.next()) is not None:
            if said.HasField("rank"):
                yield ranked(said)
            else:
                yield refused(said, "CALLER_CANCELLED", "cancelled", 1)


Script = Callable[[Heard], Iterator[pb.StreamResponse]]


def ranked(asked: pb.StreamRequest) -> pb.StreamResponse:
    """An answer that says which request it belongs to, and how many were asked on that stream before it."""
    rows = asked.rank.candidates.count
    return pb.StreamResponse(
        id=asked.id,
        ranked=pb.RankResponse(
            request_id=asked.rank.request_id,
            step=pb.STEP_FULL,
            order=range(rows),
            scores=bytes(4 * rows),
            coverage=pb.Coverage(candidates=rows, scored=rows),
        ),
    )


def refused(
    asked: pb.StreamRequest, reason: str, kind: str, code: int, retry_after_ms: int | None = None
) -> pb.StreamResponse:
    """A refusal in Podium's words."""
    status = status_pb2.Status(code=code, message="as the script says")
    info = error_details_pb2.ErrorInfo(reason=reason, domain="podium.v1", metadata={"kind": kind})
    status.details.add().Pack(info)
    if retry_after_ms is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(retry_after_ms)
        status.details.add().Pack(retry)
    return pb.StreamResponse(id=asked.id, refused=status)


@dataclass
class Scripted:
    """A running one."""

    port: int
    server: grpc.Server
    streams: list[Heard] = field(default_factory=list)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[str]:
        """Every request of every stream."""
        return [name for stream in self.streams for name in stream.asked]


@contextmanager
def scripted(script: Script, credentials: grpc.ServerCredentials | None = None) -> Iterator[Scripted]:
    """Serve by the script, and end when the test does."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    running = Scripted(0, server)

    def stream(messages: Iterator[pb.StreamRequest], context: Any) -> Iterator[pb.StreamResponse]:
        heard = Heard(len(running.streams), messages, context)
        running.streams.append(heard)
        yield from script(heard)

    service, method = RANK_STREAM.strip("/").split("/")
    handler = grpc.stream_stream_rpc_method_handler(
        stream, pb.StreamRequest.FromString, pb.StreamResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    running.port = (
        server.add_insecure_port("127.0.0.1:0")
        if credentials is None
        else server.add_secure_port("127.0.0.1:0", credentials)
    )
    server.start()
    try:
        yield running
    finally:
        server.stop(None).wait()
