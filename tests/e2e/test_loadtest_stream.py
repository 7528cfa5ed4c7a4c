"""The load test's stream door against a server of another make, which says what the test likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import uvloop
from google.rpc import error_details_pb2, status_pb2

from loadtest.client.door import RANK, RANK_STREAM, Door, Ended, answer
from loadtest.client.doors import make
from loadtest.null_server import serve
from podium.v1 import ranking_pb2 as pb

HANGS_S = 20.0
GREETING = pb.StreamResponse(notice=pb.Notice(in_flight_max=1024))
DRAINING = pb.StreamResponse(notice=pb.Notice(draining=True))
GONE = Ended("failed", "UNAVAILABLE", 14)

Script = Callable[["Heard"], Awaitable[None]]


class Heard:
    """One RankStream as its server sees it: `number` counts the streams from 0."""

    def __init__(self, number: int, context: Any) -> None:
        self.number = number
        self.ended = False
        """The client has said its last word."""
        self.cancelled: list[int] = []
        self._context = context

    async def next(self) -> pb.StreamRequest | None:
        """The next message; None after the last one."""
        found = await self._context.read()
        if found is grpc.aio.EOF:
            self.ended = True
            return None
        if found.HasField("cancel"):
            self.cancelled.append(found.id)
        return found

    async def some(self, count: int) -> list[pb.StreamRequest]:
        """The next so many."""
        found = [await self.next() for _ in range(count)]
        assert None not in found
        return [one for one in found if one is not None]

    async def say(self, *answers: pb.StreamResponse) -> None:
        """Send these."""
        for one in answers:
            await self._context.write(one)

    async def die(self, code: grpc.StatusCode) -> None:
        """End the stream with a status."""
        await self._context.abort(code, "as the script says")

    async def serve(self) -> None:
        """Answer everything until the client ends the stream."""
        while (asked := await self.next()) is not None:
            if asked.HasField("rank"):
                await self.say(ranked(asked))


def ranked(asked: pb.StreamRequest) -> pb.StreamResponse:
    """An answer that shows which request it belongs to."""
    return pb.StreamResponse(id=asked.id, ranked=pb.RankResponse(request_id=asked.rank.request_id))


def refused(asked: pb.StreamRequest, reason: str, kind: str, code: int) -> pb.StreamResponse:
    """A refusal in Podium's words."""
    status = status_pb2.Status(code=code, message="no")
    info = error_details_pb2.ErrorInfo(reason=reason, domain="podium.v1", metadata={"kind": kind})
    status.details.add().Pack(info)
    return pb.StreamResponse(id=asked.id, refused=status)


def request(name: str, size: int = 0) -> bytes:
    """A request with a name and so many bytes more."""
    data: bytes = pb.RankRequest(request_id=name, query="q" * size).SerializeToString()
    return data


def names(said: list[bytes | Ended]) -> list[str | Ended]:
    """Whose answers these are."""
    return [one if isinstance(one, Ended) else pb.RankResponse.FromString(one).request_id for one in said]


@asynccontextmanager
async def serving(script: Script, port: int = 0) -> AsyncIterator[tuple[grpc.aio.Server, int]]:
    """A grpc.aio server whose streams follow the script."""
    count = 0

    async def stream(_: object, context: Any) -> None:
        nonlocal count
        count += 1
        await script(Heard(count - 1, context))

    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(
        stream, pb.StreamRequest.FromString, pb.StreamResponse.SerializeToString
    )
    service, method = RANK_STREAM.strip("/").split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield server, port
    finally:
        await server.stop(None)


@asynccontextmanager
async def opened(port: int, connections: int = 1) -> AsyncIterator[Door]:
    """The door to it."""
    door = make("stream", f"127.0.0.1:{port}", connections)
    try:
        await door.open()
        yield door
    finally:
        await door.close()


def play(scene: Callable[[], Awaitable[Any]]) -> Any:
    """Run it, within limits."""

    async def limited() -> Any:
        return await asyncio.wait_for(scene(), HANGS_S)

    return uvloop.run(limited())


async def ask(door: Door, *wanted: str, timeout_s: float = 10.0, size: int = 0) -> list[bytes | Ended]:
    """All at once; the answers in the order of the questions."""
    return list(await asyncio.gather(*(answer(door, request(name, size), timeout_s) for name in wanted)))


def test_answers_find_their_requests_in_any_order() -> None:
    """Forty over two streams, each answered last first, every third refused in between."""

    async def script(heard: Heard) -> None:
        await heard.say(GREETING)
        for at, asked in enumerate(reversed(await heard.some(20))):
            no = refused(asked, "PREDICTED_LATE", "overloaded", 8)
            await heard.say(no if at % 3 == 0 else ranked(asked))
        await heard.serve()

    async def scene() -> list[bytes | Ended]:
        async with serving(script) as (_, port), opened(port, 2) as door:
            return await ask(door, *(str(at) for at in range(40)))

    said = names(play(scene))
    no = Ended("overloaded", "PREDICTED_LATE", 8)
    assert [no] * 14 == [one for one in said if isinstance(one, Ended)]
    assert all(one in (str(at), no) for at, one in enumerate(said))


def test_a_refusal_in_band_is_read_as_one_in_trailers() -> None:
    """Podium's own word when it is there; else the code alone, which is nobody's refusal."""

    async def script(heard: Heard) -> None:
        await heard.say(GREETING)
        first, second = await heard.some(2)
        plain = status_pb2.Status(code=8, message="a proxy's")
        await heard.say(
            refused(first, "MODEL_NOT_FOUND", "invalid", 5), pb.StreamResponse(id=second.id, refused=plain)
        )
        await heard.serve()

    async def scene() -> list[bytes | Ended]:
        async with serving(script) as (_, port), opened(port) as door:
            return await ask(door, "a", "b")

    wanted = [Ended("invalid", "MODEL_NOT_FOUND", 5), Ended("failed", "RESOURCE_EXHAUSTED", 8)]
    assert wanted == play(scene)


def test_large_messages_pass_both_ways() -> None:
    """Many times a window, both ways at once, over one stream."""

    async def script(heard: Heard) -> None:
        await heard.say(GREETING)
        while (asked := await heard.next()) is not None:
            await heard.say(
                pb.StreamResponse(id=asked.id, ranked=pb.RankResponse(request_id=asked.rank.query))
            )

    async def scene() -> list[bytes | Ended]:
        async with serving(script) as (_, port), opened(port) as door:
            return await ask(door, *"abcdefghijkl", size=300_000)

    assert [300_000] * 12 == [len(str(one)) for one in names(play(scene))]


def test_a_drained_stream_gives_way_and_is_closed_with_its_last_answer() -> None:
    """Nothing is lost; new requests go over another stream; the old one is half-closed when all is in."""
    moved, asked_more = asyncio.Event(), asyncio.Event()
    told: list[str] = []

    async def script(heard: Heard) -> None:
        await heard.say(GREETING)
        if heard.number:
            told.append("second: opened")
            await heard.serve()
            return
        owed = await heard.some(3)
        await heard.say(DRAINING, ranked(owed[2]))
        moved.set()
        await asked_more.wait()
        await heard.say(ranked(owed[1]), ranked(owed[0]))
        await heard.serve()
        told.append("first: half-closed")

    async def scene() -> list[bytes | Ended]:
        async with serving(script) as (_, port), opened(port) as door:
            owed = asyncio.create_task(ask(door, "a", "b", "c"))
            await moved.wait()
            while "second: opened" not in told:  # until the notice has come
                await ask(door, "before", timeout_s=0.1)
            more = await ask(door, "d", "e")
            asked_more.set()
            said = await owed + more
            while "first: half-closed" not in told:
                await ask(door, "after")
            return said

    assert ["a", "b", "c", "d", "e"] == names(play(scene))
    assert ["second: opened", "first: half-closed"] == told


def test_a_server_that_drains_every_stream_still_answers_each_request() -> None:
    """A lame duck greets with the notice: every request goes over a stream of its own, and none spins."""
    numbers: list[int] = []

    async def script(heard: Heard) -> None:
        numbers.append(heard.number)
        await heard.say(GREETING, DRAINING)
        await heard.serve()

    async def scene() -> list[str | Ended]:
        async with serving(script) as (_, port), opened(port) as door:
            return names([(await ask(door, name))[0] for name in "abc"])

    assert ["a", "b", "c"] == play(scene)
    assert len(numbers) <= 4


def test_a_goaway_moves_to_a_new_connection_without_a_loss() -> None:
    """The old server finishes what it has, and sees the end of the stream; the new one gets the rest."""
    leaving, answering = asyncio.Event(), asyncio.Event()
    told: list[str] = []

    async def old(heard: Heard) -> None:
        await heard.say(GREETING)
        owed = await heard.some(2)
        leaving.set()
        await answering.wait()
        await heard.say(*(ranked(asked) for asked in owed))
        await heard.serve()
        told.append("old: half-closed")

    async def new(heard: Heard) -> None:
        told.append("new: opened")
        await heard.say(GREETING)
        await heard.serve()

    async def scene() -> tuple[list[bytes | Ended], list[bytes | Ended]]:
        async with serving(old) as (first, port), opened(port) as door:
            owed = asyncio.create_task(ask(door, "a", "b"))
            await leaving.wait()
            async with serving(new, port):
                stopped = asyncio.create_task(first.stop(HANGS_S))
                while "new: opened" not in told:  # until the old server's word has come
                    await ask(door, "before", timeout_s=0.1)
                asked = await ask(door, "c", "d")
                answering.set()
                said = await owed, asked
                await stopped
                return said

    before, after = play(scene)
    assert (["a", "b"], ["c", "d"]) == (names(before), names(after))
    assert ["new: opened", "old: half-closed"] == told


def test_a_stream_that_dies_ends_what_it_owed_and_another_takes_over() -> None:
    """With the stream's own status, at once; the next request opens a stream on the same connection."""

    async def script(heard: Heard) -> None:
        await heard.say(GREETING)
        if not heard.number:
            owed = await heard.some(3)
            await heard.say(ranked(owed[0]))
            await heard.die(grpc.StatusCode.INTERNAL)
        await heard.serve()

    async def scene() -> list[list[str | Ended]]:
        async with serving(script) as (_, port), opened(port) as door:
            return [names(await ask(door, "a", "b", "c")), names(await ask(door, "d"))]

    died = Ended("failed", "INTERNAL", 13)
    assert [["a", died, died], ["d"]] == play(scene)


def test_a_stream_that_ends_in_good_order_without_its_answers_is_a_fault() -> None:
    """OK is no answer."""

    async def script(heard: Heard) -> None:
        await heard.say(GREETING)
        await heard.some(1)

    async def scene() -> list[bytes | Ended]:
        async with serving(script) as (_, port), opened(port) as door:
            return await ask(door, "a")

    assert [Ended("failed", "UNANSWERED", 13)] == play(scene)


def test_a_connection_that_breaks_ends_what_was_in_flight() -> None:
    """As unavailable, and so does what is asked when nobody listens any more."""

    async def script(heard: Heard) -> None:
        await heard.say(GREETING)
        await heard.some(2)
        there.set()
        await asyncio.Event().wait()

    async def scene() -> list[bytes | Ended]:
        async with serving(script) as (server, port), opened(port) as door:
            first = asyncio.create_task(ask(door, "a", "b"))
            await there.wait()
            await server.stop(None)
            said = await first
            while said[-1] != GONE:
                said += await ask(door, "c")
            return said

    there = asyncio.Event()
    said = play(scene)
    assert 2 < len(said) or [GONE, GONE] == said
    assert all(isinstance(one, Ended) and one.ending == "failed" for one in said)


def test_a_request_past_its_deadline_is_taken_back() -> None:
    """It ends as a timeout; the server is told, and what it says of it later disturbs nobody."""
    taken_back: list[int] = []

    async def script(heard: Heard) -> None:
        await heard.say(GREETING)
        (never,) = await heard.some(1)
        await heard.some(1)
        taken_back.extend([never.id, *heard.cancelled])
        await heard.say(refused(never, "CANCELLED", "cancelled", 1))
        await heard.serve()

    async def scene() -> list[bytes | Ended]:
        async with serving(script) as (_, port), opened(port) as door:
            return await ask(door, "a", timeout_s=0.1) + await ask(door, "b")

    late, answered = play(scene)
    assert (Ended("timeout", "DEADLINE_EXCEEDED", 4), ["b"]) == (late, names([answered]))
    assert [1, 1] == taken_back


def test_a_request_that_never_left_is_not_sent_after_its_deadline() -> None:
    """While the server does not read, flow control holds requests back; the late ones are never sent."""
    seen: list[str] = []

    async def script(heard: Heard) -> None:
        await heard.say(GREETING)
        await reading.wait()
        while (asked := await heard.next()) is not None:
            if asked.HasField("rank"):
                seen.append(asked.rank.request_id)
                await heard.say(ranked(asked))

    async def scene() -> list[bytes | Ended]:
        async with serving(script) as (_, port), opened(port) as door:
            late = await ask(door, *(f"late {at}" for at in range(40)), timeout_s=0.2, size=1_000_000)
            reading.set()
            return late + await ask(door, "in time")

    reading = asyncio.Event()
    said = play(scene)
    assert [Ended("timeout", "DEADLINE_EXCEEDED", 4)] * 40 == said[:40]
    assert ["in time"] == names(said[40:])
    assert len(seen) < 41
    assert "in time" == seen[-1]


def test_a_server_without_the_method_is_told_at_the_start() -> None:
    """Before anything is measured."""

    async def scene() -> None:
        server = grpc.aio.server()
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with opened(port):
                pass
        finally:
            await server.stop(None)

    with pytest.raises(ConnectionError, match="does not open a RankStream: UNIMPLEMENTED"):
        play(scene)


def test_the_null_server_answers_both_methods_of_another_client() -> None:
    """grpcio reads its answers; a stream ends when its client has no more to say."""

    async def scene() -> tuple[list[int], list[int], grpc.StatusCode]:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        over = asyncio.Event()
        task = asyncio.create_task(serve(7, told.set_result, over.wait()))
        async with grpc.aio.insecure_channel(await told) as channel:
            call = channel.stream_stream(
                RANK_STREAM, pb.StreamRequest.SerializeToString, pb.StreamResponse.FromString
            )()
            greeting = await call.read()
            assert greeting.HasField("notice")
            for number in (3, 300):
                await call.write(pb.StreamRequest(id=number, rank=pb.RankRequest()))
            await call.write(pb.StreamRequest(id=3, cancel=pb.Cancel()))
            await call.done_writing()
            answers = []
            while (one := await call.read()) is not grpc.aio.EOF:
                answers.append(one)
            alone = await channel.unary_unary(RANK, None, pb.RankResponse.FromString)(request("a"))
            code = await call.code()
        over.set()
        await task
        sizes = [one.coverage.scored for one in (*(each.ranked for each in answers), alone)]
        return [one.id for one in answers], sizes, code

    assert ([3, 300], [7, 7, 7], grpc.StatusCode.OK) == play(scene)
