"""RankStream as a test uses it: every message is a request under way, and all that came is kept."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Literal

import grpc

from podium.v1 import ranking_pb2 as pb
from protos import refusal
from protos.varint import varint
from tests.e2e.calls import CALL_S_MAX, Answer, Caller, Pending, Ranked, Refused, dial, refused_by

CODES = {code.value[0]: code for code in grpc.StatusCode}


class StreamMessage(Pending):
    """A message of a RankStream."""

    def __init__(self, stream: Stream, number: int, nth: int) -> None:
        self.number = number
        self._stream = stream
        self._nth = nth

    @property
    def answered(self) -> bool:
        """Its answer has come."""
        return len(self._stream.answers[self.number]) > self._nth

    def answer(self) -> Answer:
        """Wait for it; the end of the stream ends all that is unanswered."""
        stream = self._stream
        stream.wait_for(lambda: self.answered or stream.over)
        if not self.answered:
            self.ended_s = stream.ended_s
            return stream.end() or Refused(grpc.StatusCode.OK, "", "", "", "unanswered", None, None)
        self.in_band = True
        self.ended_s, response = stream.answers[self.number][self._nth]
        return read_answer(response)

    def cancel(self) -> None:
        """Send a Cancel."""
        self._stream.cancel(self.number)


class Stream:
    """One RankStream: asks from the test's thread, listens on one of its own.

    Attributes:
        responses: all that came, in order.
        answers: by id, when each came and what it was.
        over: the call has ended, at `ended_s`.
    """

    never: int | None = None
    """What `Refused.pushback_ms` is where a retry cannot help: trailers alone carry it."""

    def __init__(self, channel: grpc.Channel, timeout_s: float | None = CALL_S_MAX) -> None:
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        method = channel.stream_stream("/podium.v1.Ranker/RankStream")
        self.call: Any = method(iter(self._outbox.get, None), timeout=timeout_s)
        self.responses: list[pb.StreamResponse] = []
        self.answers: defaultdict[int, list[tuple[float, pb.StreamResponse]]] = defaultdict(list)
        self.over = False
        self.ended_s = float("inf")
        self._status: Refused | None = None
        self._asked: Counter[int] = Counter()
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, request: pb.RankRequest | bytes, number: int = 0) -> StreamMessage:
        """Ask under this id, or else under one that no other message has had."""
        number = number or len(self._asked) + 1
        data = request if isinstance(request, bytes) else request.SerializeToString()
        message = StreamMessage(self, number, self._asked[number])
        self._asked[number] += 1
        self.put(b"\x08" + varint(number) + b"\x12" + varint(len(data)) + data)
        return message

    def send_all(self, requests: Sequence[pb.RankRequest | bytes]) -> list[StreamMessage]:
        """Ask several at once."""
        return [self.send(request) for request in requests]

    def cancel(self, number: int) -> None:
        """Send a Cancel."""
        self.put(pb.StreamRequest(id=number, cancel=pb.Cancel()).SerializeToString())

    def put(self, data: bytes) -> None:
        """Send bytes as a StreamRequest."""
        self._outbox.put(data)

    def half_close(self) -> None:
        """Say that no more will be asked."""
        self._outbox.put(None)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until it holds; asked again whenever something came."""
        with self._news:
            assert self._news.wait_for(condition, CALL_S_MAX), "the stream never said so"

    def end(self) -> Refused | None:
        """Wait for the status of the stream itself; None = OK."""
        self.wait_for(lambda: self.over)
        return self._status

    def finish(self) -> list[pb.StreamResponse]:
        """Half-close and wait for the end, which must be OK; all that came."""
        self.half_close()
        assert self.end() is None, self._status
        return self.responses

    @property
    def notices(self) -> list[pb.Notice]:
        """The notices so far."""
        return [one.notice for one in self.responses if one.WhichOneof("body") == "notice"]

    def close(self) -> None:
        """Give the stream up, if it is not over."""
        self._outbox.put(None)
        self.call.cancel()
        self._reader.join(CALL_S_MAX)

    def _read(self) -> None:
        try:
            for data in self.call:
                response = pb.StreamResponse.FromString(data)
                with self._news:
                    self.responses.append(response)
                    self.answers[response.id].append((time.monotonic(), response))
                    self._news.notify_all()
        except grpc.RpcError:
            pass
        with self._news:
            self._status = None if self.call.code() is grpc.StatusCode.OK else refused_by(self.call)
            self.ended_s = time.monotonic()
            self.over = True
            self._news.notify_all()


def read_answer(response: pb.StreamResponse) -> Answer:
    """What a StreamResponse says of its request."""
    if response.WhichOneof("body") == "ranked":
        return Ranked(response.ranked)
    status = response.refused
    details = refusal.read([(refusal.DETAILS_KEY, status.SerializeToString())])
    return Refused(
        CODES[status.code],
        details.kind,
        details.reason,
        details.field,
        status.message,
        None,
        details.retry_after_s,
    )


Asker = Caller | Stream
"""Whoever ranks, through either door."""
Door = Literal["unary", "stream"]
DOORS: Sequence[Door] = ("unary", "stream")


@contextmanager
def opened(caller: Caller, timeout_s: float | None = CALL_S_MAX) -> Iterator[Stream]:
    """A RankStream, given up at the end if it is not over by then."""
    stream = Stream(caller.channel, timeout_s)
    try:
        yield stream
    finally:
        stream.close()


@contextmanager
def knock(target: str, door: Door) -> Iterator[Asker]:
    """An asker at this door, on a channel of its own."""
    with dial(target) as caller:
        if door == "unary":
            yield caller
        else:
            with opened(caller) as stream:
                yield stream
