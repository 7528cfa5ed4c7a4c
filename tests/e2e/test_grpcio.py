"""grpcio as everybody uses it, sync and asyncio, against our own HTTP/2: nothing of gRPC is missing."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from podium.v1 import ranking_pb2 as pb
from tests.bundles.tiny import TINY, TinyRanker
from tests.e2e.calls import CALL_S_MAX, Caller, dial
from tests.e2e.running import RunningServer, Start
from tests.e2e.scripted import PATIENT, STUCK_MS, blocked, stalled

RANK = "/podium.v1.Ranker/Rank"
WIDE = TinyRanker(name="wide", candidates_max=4096, variants=("fp32",), budget_ms=10_000)
EXAMPLE = TINY.example(6, seed=1)
MESSAGE = TINY.message(EXAMPLE)
UNBOUNDED = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
ECHOED_BYTES = 7 << 20
"""Reflection sends every question back with its answer: the one way to get as much as one sends."""


def echo(size: int) -> reflection_pb2.ServerReflectionRequest:
    """A question of so many bytes."""
    return reflection_pb2.ServerReflectionRequest(host="h" * size, list_services="")


def retrying(attempts: int, *codes: str) -> list[tuple[str, Any]]:
    """Channel options: gRPC's own retries, on these codes."""
    policy = {
        "maxAttempts": attempts,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.01s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": codes,
    }
    config = {"methodConfig": [{"name": [{"service": "podium.v1.Ranker"}], "retryPolicy": policy}]}
    return [("grpc.service_config", json.dumps(config)), ("grpc.use_local_subchannel_pool", 1)]


def refused(channel: grpc.Channel, path: str, data: bytes = b"", **options: Any) -> grpc.Call:
    """Make a call that must fail; the failed call."""
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(data, timeout=CALL_S_MAX, **options)
    error: grpc.Call = caught.value
    return error


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for ranker in (TINY, PATIENT):
        ranker.write(tmp_path / "models")
    return tmp_path / "models"


# --- messages ---


def test_large_messages_both_ways(server: RunningServer) -> None:
    """Seven megabytes there and back, four times at once on one connection, and small ones between them."""
    with grpc.insecure_channel(server.target, UNBOUNDED) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        calls = [stub.ServerReflectionInfo(iter([echo(ECHOED_BYTES)]), timeout=60) for _ in range(4)]
        assert TINY.scores(EXAMPLE).tolist() == Caller(channel).send(MESSAGE).ranked().scores.tolist()
        for call in calls:
            (answer,) = call
            assert echo(ECHOED_BYTES) == answer.original_request


def test_the_widest_request_is_ranked(tmp_path: Path, start: Start) -> None:
    """4,096 candidates, more than one frame of either side's default, to the bit."""
    WIDE.write(tmp_path / "models")
    server = start(tmp_path / "models")
    example = WIDE.example(4096, seed=2)
    with dial(server.target) as caller:
        answers = caller.send_all([WIDE.message(example)] * 8)
        for answer in answers:
            assert WIDE.scores(example).tolist() == answer.ranked().scores.tolist()


def test_a_message_over_the_limit_is_refused_and_the_channel_lives(caller: Caller) -> None:
    """8 MiB and a byte: RESOURCE_EXHAUSTED in a sentence, and the next call is answered."""
    error = refused(caller.channel, RANK, bytes((8 << 20) + 1))
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == error.code()
    assert "The message has 8388609 bytes; 8388608 are allowed." == error.details()
    assert caller.send(MESSAGE).ranked()


def test_a_compressed_message_is_refused(caller: Caller) -> None:
    """UNIMPLEMENTED, as gRPC's compression.md asks."""
    error = refused(caller.channel, RANK, bytes(10_000), compression=grpc.Compression.Gzip)
    assert grpc.StatusCode.UNIMPLEMENTED == error.code()
    assert "The message is compressed; this server takes identity only." == error.details()


@pytest.mark.parametrize(
    "path", ["/podium.v1.Ranker/Rang", "/podium.v2.Ranker/Rank", "/", "/grpc.health.v1.Health"]
)
def test_an_unknown_method_is_unimplemented(caller: Caller, path: str) -> None:
    """Whatever is wrong with its path."""
    error = refused(caller.channel, path)
    assert (grpc.StatusCode.UNIMPLEMENTED, "This server has no such method.") == (
        error.code(),
        error.details(),
    )


def test_metadata_is_taken_and_ignored(caller: Caller) -> None:
    """Text, bytes, names given twice, eight kilobytes of it: the answer is the same."""
    metadata = [("x-text", "value"), ("x-bytes-bin", bytes(range(256))), ("x-twice", "1"), ("x-twice", "2")]
    for more in ([], [("x-long", "l" * 8000)]):
        rank = caller.channel.unary_unary(RANK)
        answer = rank(MESSAGE.SerializeToString(), timeout=CALL_S_MAX, metadata=metadata + more)
        assert TINY.scores(EXAMPLE).tobytes() == pb.RankResponse.FromString(answer).scores


def test_metadata_beyond_all_bounds_ends_its_call_alone(caller: Caller) -> None:
    """20 kB are the caller's fault, not the connection's: a call that lasts on it goes on."""
    stub = reflection_pb2_grpc.ServerReflectionStub(caller.channel)
    questions: SimpleQueue[reflection_pb2.ServerReflectionRequest | None] = SimpleQueue()
    lasting = stub.ServerReflectionInfo(iter(questions.get, None), timeout=CALL_S_MAX)
    for _ in range(3):
        questions.put(echo(1))
        assert echo(1) == next(lasting).original_request
        error = refused(caller.channel, RANK, metadata=[("x-long", "l" * 20_000)])
        assert grpc.StatusCode.RESOURCE_EXHAUSTED == error.code()
    questions.put(None)
    assert [] == list(lasting)


# --- many calls ---


def test_a_thousand_calls_on_one_channel(server: RunningServer) -> None:
    """All under way at once, each with an answer of its own."""
    examples = [TINY.example(3, seed=seed) for seed in range(1000)]
    with dial(server.target) as caller:
        answers = caller.send_all([TINY.message(example) for example in examples])
        for example, answer in zip(examples, answers, strict=True):
            assert TINY.scores(example).tolist() == answer.ranked().scores.tolist()


def test_a_thousand_asyncio_calls_on_one_channel(server: RunningServer) -> None:
    """The same from one event loop, each caller with its own deadline."""
    examples = [TINY.example(3, seed=seed) for seed in range(1000)]

    async def ask() -> list[bytes]:
        async with grpc.aio.insecure_channel(server.target) as channel:
            rank = channel.unary_unary(RANK)
            calls = [
                rank(TINY.message(example).SerializeToString(), timeout=20 + at / 1000)
                for at, example in enumerate(examples)
            ]
            return list(await asyncio.gather(*calls))

    for example, answer in zip(examples, asyncio.run(ask()), strict=True):
        assert TINY.scores(example).tobytes() == pb.RankResponse.FromString(answer).scores


def test_many_threads_share_a_channel(server: RunningServer, caller: Caller) -> None:
    """Eight of them, each with its own answers."""
    answers: dict[int, set[bytes]] = {}

    def ask(seed: int) -> None:
        request = TINY.message(TINY.example(5, seed=seed))
        answers[seed] = {caller.send(request).ranked().response.scores for _ in range(50)}

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {seed: {TINY.scores(TINY.example(5, seed=seed)).tobytes()} for seed in range(8)} == answers


# --- ends ---


def test_a_deadline_is_kept_by_both_sides(models: Path, start: Start) -> None:
    """While the engine is stuck: the caller is told at its deadline, and the server counts the call once."""
    server = stalled(start, models, STUCK_MS)
    with dial(server.target) as caller:
        blocked(server, caller, PATIENT)
        answer = caller.send(PATIENT.message(PATIENT.example(3)), timeout_s=0.3).refused()
        assert grpc.StatusCode.DEADLINE_EXCEEDED == answer.code
        scrape = server.wait_for(lambda scrape: scrape.total("podium_queue_depth") == 0)
        ended = [
            scrape.total("podium_requests_total", outcome=outcome) for outcome in ("expired", "cancelled")
        ]
        assert 1 == sum(ended)


@pytest.mark.parametrize("how", ["sync", "asyncio", "channel"])
def test_a_call_given_up_frees_its_place(models: Path, start: Start, how: str) -> None:
    """Cancelled by its caller, or with the whole channel: its ticket leaves the queue."""
    server = stalled(start, models, STUCK_MS)
    data = PATIENT.message(PATIENT.example(3)).SerializeToString()

    async def give_up() -> None:
        async with grpc.aio.insecure_channel(server.target) as channel:
            call = channel.unary_unary(RANK)(data)
            await asyncio.to_thread(server.wait_for, lambda scrape: scrape.total("podium_queue_depth") == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    with dial(server.target) as caller:
        blocked(server, caller, PATIENT)
        if how == "asyncio":
            asyncio.run(give_up())
        else:
            with dial(server.target) as other:
                pending = other.send(data)
                server.wait_for(lambda scrape: scrape.total("podium_queue_depth") == 1)
                if how == "sync":
                    pending.cancel()
                    server.wait_for(lambda scrape: scrape.total("podium_queue_depth") == 0)
        scrape = server.wait_for(lambda scrape: scrape.total("podium_queue_depth") == 0)
        assert 1 == scrape.total("podium_in_flight")
        assert 1 == scrape.total("podium_requests_total", outcome="cancelled")


def test_who_waits_for_a_server_finds_it(models: Path, start: Start) -> None:
    """wait_for_ready: the call is made before the server is there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        rank = channel.unary_unary(RANK)
        pending = rank.future(MESSAGE.SerializeToString(), timeout=CALL_S_MAX, wait_for_ready=True)
        start(models, f"--port={port}")
        while (refused := pending.exception()) is not None and "loading" in refused.details():
            # Found, and early: the door opens before the models are there.
            pending = rank.future(MESSAGE.SerializeToString(), timeout=CALL_S_MAX, wait_for_ready=True)
        assert TINY.scores(EXAMPLE).tobytes() == pb.RankResponse.FromString(pending.result()).scores


# --- gRPC's own retries ---


def test_a_refusal_for_elsewhere_is_tried_again(tmp_path: Path, start: Start) -> None:
    """UNAVAILABLE, at once: as often as the service config allows, for its trailers come alone."""
    (TINY.write(tmp_path / "models") / "bundle.json").write_text("{}")
    server = start(tmp_path / "models")
    with grpc.insecure_channel(server.target, retrying(4, "UNAVAILABLE")) as channel:
        error = refused(channel, RANK, MESSAGE.SerializeToString())
    assert grpc.StatusCode.UNAVAILABLE == error.code()
    assert 4 == server.metrics().total("podium_requests_total")


def test_a_refusal_for_good_is_not_tried_again(models: Path, start: Start) -> None:
    """A pushback of -1 overrules a service config that would retry everything."""
    server = start(models)
    with grpc.insecure_channel(server.target, retrying(4, "INVALID_ARGUMENT", "UNAVAILABLE")) as channel:
        error = refused(channel, RANK, b"\xff")
    assert grpc.StatusCode.INVALID_ARGUMENT == error.code()
    assert 1 == server.metrics().total("podium_requests_total")


# --- health and reflection ---


def test_health_is_checked_and_watched(models: Path, start: Start) -> None:
    """By the generated stubs: what is, what changes, and what nobody knows."""
    server = start(models)
    known = health_pb2.HealthCheckResponse
    with dial(server.target) as caller:
        stub = health_pb2_grpc.HealthStub(caller.channel)
        assert known.SERVING == stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S_MAX).status
        watches = [
            stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=CALL_S_MAX)
            for name in ("", "model/tiny", "nobody")
        ]
        assert [known.SERVING, known.SERVING, known.SERVICE_UNKNOWN] == [
            next(watch).status for watch in watches
        ]
        server.signal()
        assert [known.NOT_SERVING] * 2 == [next(watch).status for watch in watches[:2]]
        for watch in watches:
            with pytest.raises(grpc.RpcError) as caught:
                next(watch)
            assert grpc.StatusCode.UNAVAILABLE == caught.value.code()
    assert 0 == server.wait()


def test_reflection_tells_the_whole_contract(caller: Caller) -> None:
    """Every service that is listed can be looked up, with every message that its methods name."""
    database = ProtoReflectionDescriptorDatabase(caller.channel)
    for service in database.get_services():
        file = database.FindFileContainingSymbol(service)
        (found,) = (one for one in file.service if f"{file.package}.{one.name}" == service)
        for method in found.method:
            for name in (method.input_type, method.output_type):
                assert database.FindFileContainingSymbol(name.lstrip("."))


def test_reflection_answers_many_questions_on_one_stream(caller: Caller) -> None:
    """In order, the unknown ones too."""
    stub = reflection_pb2_grpc.ServerReflectionStub(caller.channel)
    questions = [
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="podium.v1.Ranker"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.Such"),
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(),
    ]
    kinds = [
        answer.WhichOneof("message_response")
        for answer in stub.ServerReflectionInfo(iter(questions), timeout=CALL_S_MAX)
    ]
    assert ["file_descriptor_response", "error_response", "list_services_response", "error_response"] == kinds
