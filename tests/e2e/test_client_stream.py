"""Both clients with stream=True against servers that follow a script: drains, refusals, breaks, limits."""

from __future__ import annotations

import asyncio
import functools
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from podium.client import AsyncClient, Client, Ranked, RetryPolicy
from podium.client.stream.backend import REOPEN_S_MIN
from podium.v1 import ranking_pb2 as pb
from tests.e2e.scripted_stream import DRAINING, GREETING, Heard, Scripted, ranked, refused, scripted
from tests.e2e.streaming import Asker, Via, awaited, blocking, ended, names, refusal

PATIENT = RetryPolicy(attempts_max=5)
ONCE = RetryPolicy(attempts_max=1)


@pytest.fixture(params=[blocking, awaited], ids=["blocking", "asyncio"])
def via(request: pytest.FixtureRequest) -> Via:
    """Every test that takes it runs with either client, on one stream unless it says otherwise."""
    return functools.partial(request.param, streams_per_backend=1)


def wait_until(condition: Callable[[], bool]) -> None:
    """What another thread is about to do."""
    ends_s = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < ends_s, "it never happened"
        time.sleep(0.002)


def ask_until_all_are_asked(client: Asker, *servers: Scripted) -> None:
    """Streams are opened side by side; the first requests go to those that are there first."""
    for number in range(10_000):
        client.ask(f"warm-{number}")
        if all(server.asked for server in servers):
            return
    pytest.fail("somebody was never asked")


def serve(heard: Heard) -> Iterator[pb.StreamResponse]:
    """Greet, and answer everything."""
    yield GREETING
    yield from heard.serve()


def test_answers_in_any_order_find_their_requests(via: Via) -> None:
    """A thousand in flight on one stream, answered from the last to the first: each caller gets its own."""

    def backwards(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        yield from map(ranked, reversed(heard.some(1000)))
        yield from heard.serve()

    wanted = [f"r{number}" for number in range(1000)]
    with scripted(backwards) as server, via(server.target) as client:
        assert wanted == names(client.ask(*wanted))

    assert 1 == len(server.streams)
    assert sorted(wanted) == sorted(server.asked)


def test_every_backend_gets_a_stream_and_its_turn(via: Via) -> None:
    """Two addresses, two streams, half of the requests each."""
    with scripted(serve) as one, scripted(serve) as two, via(f"{one.target},{two.target}") as client:
        ask_until_all_are_asked(client, one, two)
        before = len(one.asked), len(two.asked)
        for number in range(10):
            client.ask(str(number))

    assert (5, 5) == (len(one.asked) - before[0], len(two.asked) - before[1])


def test_a_name_is_looked_up(via: Via) -> None:
    """localhost is asked wherever something listens, though it may be two addresses."""
    with scripted(serve) as server, via(f"localhost:{server.port}") as client:
        assert ["a"] == names(client.ask("a"))


def test_a_refusal_for_now_is_sent_again_when_it_says(via: Via) -> None:
    """OVERLOADED with a RetryInfo follows the policy; the second attempt carries what the first left over."""

    def hesitate(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        yield refused(heard.some(1)[0], "OVERLOADED", "overloaded", 8, retry_after_ms=20)
        yield from heard.serve()

    with scripted(hesitate) as server, via(server.target) as client:
        assert ["a"] == names(client.ask("a"))

    (stream,) = server.streams
    assert ["a", "a"] == stream.asked
    assert stream.timeouts_us[1] <= stream.timeouts_us[0] - 20_000


def test_a_refusal_for_good_is_not_sent_again(via: Via) -> None:
    """Without a RetryInfo the first refusal is the last, and has everything that the server said."""

    def refuse(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        yield refused(heard.some(1)[0], "OVERLOADED", "overloaded", 8)
        yield from heard.serve()

    with scripted(refuse) as server, via(server.target, retry=PATIENT) as client:
        found = refusal(client.ask("a")[0])

    assert ("overloaded", "OVERLOADED", "as the script says") == (found.kind, found.reason, found.message)
    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, 1) == (found.code, found.attempts)
    assert ["a"] == server.asked


def test_a_refusal_for_elsewhere_is_answered_elsewhere(via: Via) -> None:
    """UNREADY goes to the other backend at once, whosever turn it is, and nowhere twice."""

    def unready(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        while (said := heard.next()) is not None:
            yield refused(said, "MODEL_REFUSED", "unready", 14, retry_after_ms=0)

    with scripted(unready) as bad, scripted(serve) as good, via(f"{bad.target},{good.target}") as client:
        ask_until_all_are_asked(client, bad, good)
        wanted = [str(number) for number in range(20)]
        assert wanted == names(client.ask(*wanted))

    assert set(wanted) <= set(good.asked)
    assert set(wanted) & set(bad.asked)
    assert all(bad.asked.count(name) <= 1 for name in wanted)


def test_a_drain_loses_nothing_and_sends_nothing_twice(via: Via) -> None:
    """What is in flight is answered on the old stream, what comes goes to a new one."""
    go_on = threading.Event()

    def drain_once(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        if heard.number == 0:
            asked = heard.some(2)
            yield DRAINING
            go_on.wait(10)
            yield from map(ranked, asked)
        yield from heard.serve()

    with scripted(drain_once) as server, via(server.target) as client:
        calls = client.begin("a", "b")
        wait_until(lambda: len(server.streams) == 2)
        assert ["c"] == names(client.ask("c"))
        go_on.set()
        assert ["a", "b"] == names(ended(calls))
        wait_until(lambda: server.streams[0].half_closed)
        assert ["d"] == names(client.ask("d"))

    assert [["a", "b"], ["c", "d"]] == [sorted(stream.asked) for stream in server.streams]


def test_a_drained_server_may_be_gone(via: Via) -> None:
    """When no new stream to it can be opened the other backend answers, without a failure."""

    def drain(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        yield DRAINING
        yield from heard.serve()

    with (
        scripted(drain) as leaving,
        scripted(serve) as staying,
        via(f"{leaving.target},{staying.target}") as client,
    ):
        client.ask("first")
        wait_until(lambda: leaving.streams != [] and leaving.streams[0].half_closed)
        leaving.server.stop(None).wait()
        wanted = [str(number) for number in range(50)]
        assert wanted == names(client.ask(*wanted))


def test_a_lone_server_that_drains_from_the_start_is_asked(via: Via) -> None:
    """A server in its lame duck still answers, and there is nobody else."""

    def lame(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield pb.StreamResponse(notice=pb.Notice(in_flight_max=8, draining=True))
        yield from heard.serve()

    with scripted(lame) as server, via(server.target) as client:
        assert ["a", "b"] == names(client.ask("a", "b"))

    assert 1 == len(server.streams)


def test_what_was_in_flight_when_a_stream_broke_is_not_sent_again(via: Via) -> None:
    """It fails as UNAVAILABLE and says that it may have been scored; the next request gets a new stream."""

    def break_once(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        if heard.number == 0:
            heard.some(2)
            heard.die(grpc.StatusCode.INTERNAL)
        yield from heard.serve()

    with scripted(break_once) as server, via(server.target, retry=PATIENT) as client:
        for outcome in client.ask("a", "b"):
            found = refusal(outcome)
            assert (grpc.StatusCode.UNAVAILABLE, "", 1) == (found.code, found.reason, found.attempts)
            assert f"{server.target}: the stream broke (as the script says)" in found.message
            assert "may have been scored" in found.message
        wait_until(lambda: len(server.streams) == 2)
        assert ["c"] == names(client.ask("c"))

    assert ["a", "b", "c"] == sorted(server.asked)


def test_a_server_that_ends_the_stream_owes_its_answers(via: Via) -> None:
    """An OK from the server does not answer a request."""

    def leave(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        heard.some(1)

    with scripted(leave) as server, via(server.target) as client:
        found = refusal(client.ask("a")[0])

    assert "the server ended the stream while the request was in flight" in found.message
    assert ["a"] == server.asked


def test_no_more_are_in_flight_than_the_server_takes(via: Via) -> None:
    """With a limit of 2 the third waits here until one is answered; all are answered in the end."""
    most = 0

    def two_at_a_time(heard: Heard) -> Iterator[pb.StreamResponse]:
        nonlocal most
        yield pb.StreamResponse(notice=pb.Notice(in_flight_max=2))
        pending: list[pb.StreamRequest] = []
        while len(heard.asked) < 10 or pending:
            if len(heard.asked) < 10 and len(pending) < 2:
                pending += heard.some(1)
            else:
                most = max(most, len(pending))
                yield ranked(pending.pop(0))
        yield from heard.serve()

    wanted = [str(number) for number in range(10)]
    with scripted(two_at_a_time) as server, via(server.target) as client:
        assert wanted == names(client.ask(*wanted))

    assert 2 == most


def test_waiting_for_room_ends_with_the_deadline(via: Via) -> None:
    """A request that finds every place taken until its deadline is refused as expired, and never sent."""

    def full(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield pb.StreamResponse(notice=pb.Notice(in_flight_max=1))
        yield from map(ranked, heard.some(1)) if go_on.wait(10) else ()
        yield from heard.serve()

    go_on = threading.Event()
    with scripted(full) as server, via(server.target) as client:
        call = client.begin("a")
        wait_until(lambda: len(server.streams) == 1)
        found = refusal(client.ask("b", deadline_s=0.1)[0])
        go_on.set()
        assert ["a"] == names(ended(call))

    assert ("expired", grpc.StatusCode.DEADLINE_EXCEEDED, 0) == (found.kind, found.code, found.attempts)
    assert ["a"] == server.asked


def test_a_deadline_that_passes_cancels_the_request(via: Via) -> None:
    """The caller is told as expired, the server gets a Cancel with the id, and the stream lives on."""

    def slow(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        heard.some(1)
        yield from heard.serve()

    with scripted(slow) as server, via(server.target) as client:
        found = refusal(client.ask("a", deadline_s=0.1)[0])
        wait_until(lambda: server.streams[0].cancelled == [1])
        assert ["b"] == names(client.ask("b"))

    assert ("expired", "", 1) == (found.kind, found.reason, found.attempts)
    assert 1 == len(server.streams)


def test_a_cancelled_task_cancels_its_request() -> None:
    """asyncio's cancel reaches the server as a Cancel of that id; others go on."""

    def first_is_slow(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        heard.some(1)
        yield from heard.serve()

    async def scene(target: str) -> Ranked:
        async with AsyncClient(target, stream=True, streams_per_backend=1) as client:
            task = asyncio.create_task(client.rank("m", ids=["a"], request_id="a", deadline_s=10))
            while not server.asked:
                await asyncio.sleep(0.002)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await client.rank("m", ids=["a"], request_id="b", deadline_s=10)

    with scripted(first_is_slow) as server:
        assert "b" == asyncio.run(scene(server.target)).request_id

    assert [1] == server.streams[0].cancelled


def test_close_waits_for_what_is_under_way(via: Via) -> None:
    """Answers that come within the grace are given; the server sees a half-close, not a break."""

    def late(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        asked = heard.some(1)
        closing.wait(10)
        yield from map(ranked, asked)
        yield from heard.serve()

    closing = threading.Event()
    with scripted(late) as server:
        with via(server.target) as client:
            calls = client.begin("a")
            wait_until(lambda: server.asked == ["a"])
            threading.Timer(0.2, closing.set).start()
        assert ["a"] == names(ended(calls))
        wait_until(lambda: server.streams[0].half_closed)


def test_close_does_not_wait_for_ever(via: Via) -> None:
    """What a server does not answer within the grace ends as cancelled."""

    def never(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        while heard.next() is not None:
            pass

    with scripted(never) as server:
        with via(server.target) as client:
            calls = client.begin("a")
            wait_until(lambda: server.asked == ["a"])
        found = refusal(ended(calls)[0])

    assert ("cancelled", grpc.StatusCode.CANCELLED) == (found.kind, found.code)


def test_a_loop_that_ends_takes_an_open_client_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever forgets to close, or is interrupted, gets no complaint of tasks that outlived the loop."""

    async def forget(target: str) -> None:
        client = AsyncClient(target, stream=True, streams_per_backend=1)
        await client.rank("m", ids=["a"], deadline_s=10)
        await asyncio.sleep(2 * REOPEN_S_MIN)  # so that a stream that ended would be replaced at once

    with scripted(serve) as server:
        asyncio.run(forget(server.target))
        gc.collect()

    assert [] == caplog.messages
    assert 1 == len(server.streams)


def test_a_closed_client_is_closed() -> None:
    """A call after close is a mistake of the caller's; no thread of the client's is left."""
    with scripted(serve) as server:
        with Client(server.target, stream=True) as client:
            client.rank("m", ids=["a"], deadline_s=10)
            assert {"podium upkeep"} <= {thread.name for thread in threading.enumerate()}
        assert [] == [each.name for each in threading.enumerate() if each.name.startswith("podium")]
        with pytest.raises(ValueError, match="the client is closed"):
            client.rank("m", ids=["a"], deadline_s=10)


def test_where_nobody_listens_the_refusal_comes_at_once(via: Via) -> None:
    """It is UNAVAILABLE, names the target, says why, and says that nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        target = f"127.0.0.1:{taken.getsockname()[1]}"
    with via(target) as client:
        found = refusal(client.ask("a", deadline_s=60)[0])

    assert (grpc.StatusCode.UNAVAILABLE, "unready", 0) == (found.code, found.kind, found.attempts)
    assert f"No backend of {target} can be reached" in found.message


def test_a_name_that_does_not_resolve_is_said(via: Via) -> None:
    """The refusal names the host that nobody knows."""
    with via("no-such-host.invalid:50051") as client:
        found = refusal(client.ask("a", deadline_s=60)[0])

    assert grpc.StatusCode.UNAVAILABLE == found.code
    assert "no-such-host.invalid" in found.message


def test_a_server_without_the_method_is_said(via: Via) -> None:
    """An older server that has no RankStream refuses as UNIMPLEMENTED, not as unreachable."""
    server = grpc.server(ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with via(f"127.0.0.1:{port}") as client:
            found = refusal(client.ask("a")[0])
    finally:
        server.stop(None).wait()

    assert (grpc.StatusCode.UNIMPLEMENTED, 0) == (found.code, found.attempts)


def test_a_server_that_speaks_nonsense_is_left(via: Via) -> None:
    """A word about the stream that is no notice ends it: whom it concerns nobody knows."""

    def babble(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        asked = heard.some(1)[0]
        asked.id = 0
        yield ranked(asked)
        yield from heard.serve()

    with scripted(babble) as server, via(server.target) as client:
        found = refusal(client.ask("a")[0])

    assert "the server sent ranked about the stream itself" in found.message


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_target_that_names_no_backends_is_refused(client: type) -> None:
    """A name that only gRPC's own resolvers know cannot have a stream per backend."""

    async def make() -> None:
        client("xds:///ranker", stream=True)

    with pytest.raises(ValueError, match="xds:///ranker"):
        asyncio.run(make())


def test_threads_share_a_stream() -> None:
    """Many threads on one blocking client and one stream: every answer to its own thread."""
    with scripted(serve) as server, blocking(server.target, retry=ONCE, streams_per_backend=1) as client:
        wanted = [f"r{number}" for number in range(2000)]
        assert wanted == names(client.ask(*wanted))

    assert 1 == len(server.streams)
    assert sorted(wanted) == sorted(server.asked)


def test_several_streams_share_a_connection(via: Via) -> None:
    """As many as wanted, opened when the first was greeted; requests at once spread over them."""

    def all_are_asked() -> bool:
        assert list("abcdef") == names(client.ask(*"abcdef"))
        return [True] * 3 == [stream.asked != [] for stream in server.streams]

    with scripted(serve) as server, via(server.target, streams_per_backend=3) as client:
        wait_until(all_are_asked)

    assert 1 == len({stream.peer for stream in server.streams})


def test_streams_leave_a_connection_together(via: Via) -> None:
    """One that is drained takes the other with it; both are opened again, on another connection."""

    def drain_once(heard: Heard) -> Iterator[pb.StreamResponse]:
        yield GREETING
        if heard.number == 1:
            yield DRAINING
        yield from heard.serve()

    with scripted(drain_once) as server, via(server.target, streams_per_backend=2) as client:
        client.ask("a")
        wait_until(lambda: [True, True] == [stream.half_closed for stream in server.streams[:2]])
        assert ["b", "c"] == names(client.ask("b", "c"))
        wait_until(lambda: 4 == len(server.streams))

    old, new = ({stream.peer for stream in part} for part in (server.streams[:2], server.streams[2:]))
    assert (1, 1) == (len(old), len(new))
    assert old != new


def test_there_must_be_a_stream() -> None:
    """Zero streams would answer nobody."""
    with pytest.raises(ValueError, match="streams_per_backend must be >= 1, got 0"):
        Client("127.0.0.1:1", stream=True, streams_per_backend=0)
