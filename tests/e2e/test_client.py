"""Both clients, over both doors, against real servers: what they return, and when they send again."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from measures.order import rank_order
from podium.client import (
    AsyncClient,
    Client,
    Coverage,
    Outcome,
    Ranked,
    RankingRequest,
    RankRefused,
    RetryPolicy,
    Step,
)
from podium.client.encode import encode
from protos import manifest as manifests
from tests.bundles.tiny import TINY, WORDS, Example, TinyRanker
from tests.e2e.calls import dial
from tests.e2e.running import RunningServer, Start

DEADLINE_S = 10.0
ONE_VARIANT = TinyRanker(variants=("fp32",))
"""Starts in half the time where the engine is scripted to be slow."""
HINT_S = 0.010
"""RetryInfo of a refusal for bytes in flight."""


@dataclass(frozen=True)
class Send:
    """send(target, RankingRequest | bytes, deadline_s=..., retry=...) with one of the two clients."""

    send: Callable[..., Ranked]
    stream: bool

    def __call__(self, target: str, request: RankingRequest | bytes, **options: Any) -> Ranked:
        return self.send(target, request, stream=self.stream, **options)


def send_blocking(
    target: str, request: RankingRequest | bytes, *, deadline_s: float = DEADLINE_S, **options: Any
) -> Ranked:
    with Client(target, **options) as client:
        if isinstance(request, bytes):
            return client.rank_message(request, deadline_s=deadline_s)
        return client.rank(request, deadline_s=deadline_s)


def send_awaited(
    target: str, request: RankingRequest | bytes, *, deadline_s: float = DEADLINE_S, **options: Any
) -> Ranked:
    async def send() -> Ranked:
        async with AsyncClient(target, **options) as client:
            if isinstance(request, bytes):
                return await client.rank_message(request, deadline_s=deadline_s)
            return await client.rank(request, deadline_s=deadline_s)

    return asyncio.run(send())


@pytest.fixture(params=[send_blocking, send_awaited], ids=["blocking", "asyncio"])
def either(request: pytest.FixtureRequest) -> Callable[..., Ranked]:
    """One of the two clients."""
    function: Callable[..., Ranked] = request.param
    return function


@pytest.fixture(params=[False, True], ids=["unary", "stream"])
def send(request: pytest.FixtureRequest, either: Callable[..., Ranked]) -> Send:
    """Every test that takes it runs with either client, over either door."""
    return Send(either, request.param)


def request_of(example: Example, ranker: TinyRanker = TINY) -> RankingRequest:
    """The example as a user of the client writes it."""
    return RankingRequest(
        model=ranker.name,
        ids=example.items,
        columns={"features": example.features, "price": example.price},
        context={"history": example.history},
        prior_scores=example.prior,
    )


def refused_by(
    send: Send, target: str, request: RankingRequest | bytes, retry: RetryPolicy | None = None
) -> RankRefused:
    """The refusal that the client raises."""
    with pytest.raises(RankRefused) as caught:
        send(target, request, **({"retry": retry} if retry else {}))
    return caught.value


def test_an_answer_is_what_the_model_computes(server: RunningServer, send: Send) -> None:
    """Scores arrive as the graph gives them, bit for bit; order and ids are best first."""
    example = TINY.example(20)
    ranked = send(server.target, request_of(example))

    expected = TINY.scores(example)
    order = rank_order(expected, example.prior)
    np.testing.assert_array_equal(expected, ranked.scores)
    np.testing.assert_array_equal(order, ranked.order)
    np.testing.assert_array_equal(example.items[order], ranked.ids)
    assert ("tiny", 1, "int8", Step.FULL) == (ranked.model, ranked.version, ranked.variant, ranked.step)
    assert Coverage(candidates=20, scored=20, by_ladder=0, by_deadline=0, invalid=0) == ranked.coverage
    assert ranked.timings.batch_rows >= 20


def test_an_invalid_candidate_is_unscored_and_last(server: RunningServer, send: Send) -> None:
    """A candidate whose feature is NaN has a NaN score, ranks behind all others and says why."""
    example = TINY.example(5)
    example.price[2] = np.nan
    ranked = send(server.target, request_of(example))

    assert [2] == np.flatnonzero(np.isnan(ranked.scores)).tolist()
    assert 2 == ranked.order[-1]
    assert Outcome.INVALID == ranked.outcomes[2]
    assert (4, 1) == (ranked.coverage.scored, ranked.coverage.invalid)


def test_string_ids_come_back_in_ranked_order(server: RunningServer, send: Send) -> None:
    """A model keyed by strings answers with the caller's own strings."""
    example = WORDS.example(8)
    ranked = send(server.target, request_of(example, WORDS))

    best_first = example.items[rank_order(WORDS.scores(example), example.prior)]
    assert best_first.tolist() == ranked.ids.tolist()


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_a_stream_s_answer_is_the_unary_one(
    server: RunningServer, either: Callable[..., Ranked], rows: int
) -> None:
    """Every field of it, timings aside, which are of another run: scores and NaNs bit for bit."""
    example = TINY.example(rows)
    example.price[rows // 2] = np.nan
    request = replace(request_of(example), request_id="r", top_k=5, variant="fp32")
    unary, stream = (either(server.target, request, stream=stream) for stream in (False, True))

    for field in fields(Ranked):
        mine, other = getattr(stream, field.name), getattr(unary, field.name)
        assert type(other) is type(mine), field.name
        if isinstance(mine, np.ndarray):
            assert (other.dtype, other.tobytes()) == (mine.dtype, mine.tobytes()), field.name
        elif field.name == "timings":
            assert mine.total_us > 0
            assert mine.batch_rows >= rows
        else:
            assert other == mine, field.name


@pytest.mark.parametrize(
    "wrong",
    [
        RankingRequest(model="nobody", ids=["a"]),
        RankingRequest(model="tiny", ids=["a"]),
        RankingRequest(model="tiny", ids=np.arange(3), variant="int3"),
        RankingRequest(model="tiny", ids=np.arange(3), columns={"colour": np.zeros(3, np.float32)}),
    ],
    ids=["model", "ids", "variant", "column"],
)
def test_a_stream_s_refusal_is_the_unary_one(
    server: RunningServer, either: Callable[..., Ranked], wrong: RankingRequest
) -> None:
    """Everything that the exception says, gRPC's own hint and the backend's address aside."""
    unary, stream = (vars(refused_by(Send(either, stream), server.target, wrong)) for stream in (False, True))

    assert {"pushback_ms": None, "backend": server.target} == {
        key: value for key, value in stream.items() if value != unary[key]
    }


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_one_client_serves_many_threads(server: RunningServer, stream: bool) -> None:
    """Threads that share a blocking client each get the answer to their own request."""
    examples = [TINY.example(rows, seed=1) for rows in range(1, 33)]
    with Client(server.target, stream=stream) as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda e: client.rank(request_of(e), deadline_s=DEADLINE_S), examples))

    for example, ranked in zip(examples, answers, strict=True):
        np.testing.assert_array_equal(TINY.scores(example), ranked.scores)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_one_asyncio_client_has_many_requests_under_way(server: RunningServer, stream: bool) -> None:
    """Requests gathered on one asyncio client each get their own answer."""
    examples = [TINY.example(rows, seed=2) for rows in range(1, 33)]

    async def gathered() -> list[Ranked]:
        async with AsyncClient(server.target, stream=stream) as client:
            return await asyncio.gather(
                *(client.rank(request_of(example), deadline_s=DEADLINE_S) for example in examples)
            )

    for example, ranked in zip(examples, asyncio.run(gathered()), strict=True):
        np.testing.assert_array_equal(TINY.scores(example), ranked.scores)


def test_both_clients_list_the_models(server: RunningServer) -> None:
    """`models` gives every version; with its manifest when asked."""

    async def awaited() -> list[Any]:
        async with AsyncClient(server.target) as client:
            return await client.models("tiny", with_manifest=True)

    with Client(server.target) as client:
        everything, (tiny,) = client.models(), client.models("tiny", with_manifest=True)

    assert ["strict", "tiny", "words"] == sorted(entry.model for entry in everything)
    assert [tiny] == asyncio.run(awaited())
    assert ("serving", True, "int8", 2000.0) == (
        tiny.state,
        tiny.is_default,
        tiny.default_variant,
        tiny.budget_ms,
    )
    assert TINY.manifest().inputs == manifests.decode(tiny.manifest_json).inputs


def test_a_wrong_request_is_sent_once(server: RunningServer, send: Send) -> None:
    """What can never succeed is refused with the offending field, and not sent again."""
    before = server.metrics()
    wrong = encode(request_of(TINY.example(3)))
    wrong.candidates.columns[0].name = "colour"
    refused = refused_by(send, server.target, wrong.SerializeToString())

    assert ("invalid", grpc.StatusCode.INVALID_ARGUMENT) == (refused.kind, refused.code)
    assert refused.field.startswith("candidates.columns")
    assert (1, None) == (refused.attempts, refused.retry_after_s)
    assert 1 == _refusals(server, "INVALID_TENSOR") - before.total(
        "podium_refusals_total", reason="INVALID_TENSOR"
    )


def test_a_deadline_that_cannot_be_met_is_sent_once(server: RunningServer, send: Send) -> None:
    """A budget shorter than any run is refused as expired, with a veto against retries or without a hint."""
    hasty = encode(request_of(TINY.example(3)))
    hasty.timeout_us = 100
    refused = refused_by(send, server.target, hasty.SerializeToString())

    assert ("expired", grpc.StatusCode.DEADLINE_EXCEEDED) == (refused.kind, refused.code)
    assert (1, None if send.stream else -1) == (refused.attempts, refused.pushback_ms)


def test_a_hint_is_followed_once_and_no_more(start: Start, tmp_path: Path, send: Send) -> None:
    """The server counts one retry by default where it asks for one, and none with attempts_max=1."""
    full = _full_server(start, tmp_path)
    request = request_of(TINY.example(100))
    with dial(full.target) as caller:
        occupying = caller.send(encode(request))
        full.wait_for(lambda scrape: scrape.total("podium_in_flight") == 1)
        refused = refused_by(send, full.target, request)
        sent_by_default = _refusals(full, "IN_FLIGHT_BYTES")
        refused_by(send, full.target, request, RetryPolicy(attempts_max=1))
        sent_in_all = _refusals(full, "IN_FLIGHT_BYTES")
        occupying.ranked()

    assert ("overloaded", "IN_FLIGHT_BYTES") == (refused.kind, refused.reason)
    assert (2, HINT_S) == (refused.attempts, refused.retry_after_s)
    assert refused.pushback_ms == (None if send.stream else 10)
    assert (2, 3) == (sent_by_default, sent_in_all)


def test_retries_end_when_there_is_room(start: Start, tmp_path: Path, send: Send) -> None:
    """A client allowed to go on does, never sooner than the hint says, and gets its scores in the end."""
    full = _full_server(start, tmp_path)
    example = TINY.example(100)
    with dial(full.target) as caller:
        occupying = caller.send(encode(request_of(example)))
        full.wait_for(lambda scrape: scrape.total("podium_in_flight") == 1)
        began_s = time.monotonic()
        ranked = send(full.target, request_of(example), retry=RetryPolicy(attempts_max=100_000))
        took_s = time.monotonic() - began_s
        occupying.ranked()

    assert 100 == ranked.coverage.scored
    assert 1 <= _refusals(full, "IN_FLIGHT_BYTES") <= took_s / HINT_S
    assert 2 == full.metrics().total("podium_requests_total", outcome="scored")


def test_a_refusal_for_elsewhere_is_answered_elsewhere(start: Start, tmp_path: Path, send: Send) -> None:
    """Where one replica refuses the model, retries go round to the one that serves it, at once."""
    TINY.write(tmp_path / "sound")
    (TINY.write(tmp_path / "damaged") / "vocabs/item.npy").write_bytes(b"damage")
    sound, damaged = start(tmp_path / "sound"), start(tmp_path / "damaged")
    both = f"ipv4:{damaged.target},{sound.target}"
    example = TINY.example(4)
    answers = [send(both, request_of(example), retry=RetryPolicy(attempts_max=100_000)) for _ in range(4)]
    elsewhere = refused_by(send, damaged.target, request_of(example))

    assert ("unready", "MODEL_REFUSED", 0.0) == (elsewhere.kind, elsewhere.reason, elsewhere.retry_after_s)
    assert 2 == elsewhere.attempts
    for ranked in answers:
        np.testing.assert_array_equal(TINY.scores(example), ranked.scores)


def test_waiting_ends_with_the_deadline(send: Send) -> None:
    """Where something listens but never speaks, the call ends as expired; a stream sends nothing unasked."""
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(RankRefused) as caught:
        send(f"127.0.0.1:{mute.getsockname()[1]}", request_of(TINY.example(3)), deadline_s=0.1)

    refused = caught.value
    assert ("expired", "", 0 if send.stream else 1) == (refused.kind, refused.reason, refused.attempts)


def _refusals(server: RunningServer, reason: str) -> float:
    return server.metrics().total("podium_refusals_total", reason=reason)


def _full_server(start: Start, folder: Path) -> RunningServer:
    """Room for the bytes of one request of 100 candidates; the first run takes half a second."""
    ONE_VARIANT.write(folder / "models")
    bytes_max = encode(request_of(TINY.example(100))).ByteSize() * 3 // 2
    stall = ("--set", "engine.fake.stall_runs.0=500")
    return start(
        folder / "models", "--engine", "fake", *stall, "--set", f"limits.in_flight_bytes_max={bytes_max}"
    )
