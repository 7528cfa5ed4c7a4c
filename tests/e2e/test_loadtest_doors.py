"""All doors tell the same story of every kind of ending, from a real server."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest
import uvloop

from loadtest.client.door import Door, Ended, answer
from loadtest.client.doors import make
from loadtest.scenario.form import Transport
from podium.v1 import ranking_pb2 as pb
from tests.bundles.tiny import TINY
from tests.e2e.running import RunningServer, Start

TRANSPORTS: tuple[Transport, ...] = ("http2", "grpcio", "stream")
GOOD = TINY.message(TINY.example(12, seed=1))


def ask(
    server: RunningServer,
    transport: Transport,
    *messages: bytes,
    timeout_s: float = 5.0,
    before: signal.Signals | None = None,
) -> list[bytes | Ended]:
    """Connect, send the server a signal if there is one, ask everything at once, wait for all."""

    async def run() -> list[bytes | Ended]:
        door: Door = make(transport, server.target, 2)
        await door.open()
        if before is not None:
            server.signal(before)
        try:
            return list(await asyncio.gather(*(answer(door, message, timeout_s) for message in messages)))
        finally:
            await door.close()

    return uvloop.run(run())


def changed(**fields: object) -> bytes:
    """The good request with other fields."""
    message = pb.RankRequest()
    message.CopyFrom(GOOD)
    for name, value in fields.items():
        setattr(message, name, value)
    data: bytes = message.SerializeToString()
    return data


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_answer_is_the_server_s_bytes(server: RunningServer, transport: Transport) -> None:
    """Forty at once over two connections, each its own answer."""
    wanted = [TINY.message(TINY.example(5 + at, seed=at)) for at in range(40)]
    said = ask(server, transport, *(message.SerializeToString() for message in wanted))
    assert [5 + at for at in range(40)] == [
        pb.RankResponse.FromString(data).coverage.candidates if isinstance(data, bytes) else data
        for data in said
    ]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("message", "ended"),
    [
        (changed(model="absent"), Ended("invalid", "MODEL_NOT_FOUND", 5)),
        (b"\xff\xff", Ended("invalid", "MALFORMED_REQUEST", 3)),
        (changed(timeout_us=1), Ended("expired", "EXPIRED_ON_ARRIVAL", 4)),
    ],
    ids=["model", "bytes", "deadline"],
)
def test_a_refusal_keeps_its_kind_reason_and_code(
    server: RunningServer, transport: Transport, message: bytes, ended: Ended
) -> None:
    """In the server's own words, whichever client reads them."""
    (said,) = ask(server, transport, message)
    assert ended == said


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_large_messages_pass(server: RunningServer, transport: Transport) -> None:
    """More than a window's bytes, twelve at once: read to the end, and refused in words."""
    message = TINY.message(TINY.example(4000, seed=3)).SerializeToString()
    said = ask(server, transport, *[message] * 12)
    assert len(message) > 65_535
    assert [Ended("invalid", "TOO_MANY_CANDIDATES", 3)] * 12 == said


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_client_s_own_deadline_ends_a_request(start: Start, tmp_path: Path, transport: Transport) -> None:
    """A server that is stopped says nothing: after the deadline that is a timeout, not the server's word."""
    TINY.write(tmp_path / "models")
    server = start(tmp_path / "models", "--engine", "fake")
    try:
        (said,) = ask(server, transport, GOOD.SerializeToString(), timeout_s=0.5, before=signal.SIGSTOP)
    finally:
        server.signal(signal.SIGCONT)
    assert Ended("timeout", "DEADLINE_EXCEEDED", 4) == said


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_dies_fails_what_it_owed(start: Start, tmp_path: Path, transport: Transport) -> None:
    """At once, as unavailable, and what is asked later too: nobody waits for the deadline."""
    TINY.write(tmp_path / "models")
    server = start(tmp_path / "models", "--engine", "fake")
    began_s = time.monotonic()
    said = ask(server, transport, *[GOOD.SerializeToString()] * 3, timeout_s=60.0, before=signal.SIGKILL)
    assert [Ended("failed", "UNAVAILABLE", 14)] * 3 == said
    assert time.monotonic() - began_s < 30
    server.wait()


@pytest.mark.parametrize("transport", ["http2", "stream"])
def test_our_doors_connect_again(start: Start, tmp_path: Path, transport: Transport) -> None:
    """A server that comes back on its port is found again, without a new door."""
    TINY.write(tmp_path / "models")
    first = start(tmp_path / "models", "--engine", "fake")
    port = first.target.rpartition(":")[2]
    message = GOOD.SerializeToString()

    async def run() -> list[bytes | Ended]:
        door = make(transport, first.target, 2)
        await door.open()
        try:
            said = [await answer(door, message, 5.0)]
            first.signal(signal.SIGKILL)
            first.wait()
            said.append(await answer(door, message, 5.0))
            start(tmp_path / "models", "--engine", "fake", "--port", port)
            until_s = time.monotonic() + 20
            while isinstance(said[-1], Ended) and time.monotonic() < until_s:
                await asyncio.sleep(0.05)
                said.append(await answer(door, message, 5.0))
            return said
        finally:
            await door.close()

    said = uvloop.run(run())
    assert isinstance(said[0], bytes)
    assert Ended("failed", "UNAVAILABLE", 14) == said[1]
    assert isinstance(said[-1], bytes)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_drain_loses_nothing(start: Start, tmp_path: Path, transport: Transport) -> None:
    """SIGTERM under load: while its port is open the server answers through every door; nothing times out.

    Afterwards it is gone, in good order: nobody's stream kept it.
    """
    TINY.write(tmp_path / "models")
    server = start(tmp_path / "models", "--engine", "fake", "--set", "drain.lame_duck_s=0.5")
    message = GOOD.SerializeToString()

    async def run() -> list[bytes | Ended]:
        door = make(transport, server.target, 2)
        await door.open()
        try:
            said = list(await asyncio.gather(*(answer(door, message, 10.0) for _ in range(8))))
            server.signal(signal.SIGTERM)
            until_s = time.monotonic() + 20
            while time.monotonic() < until_s and not any(isinstance(one, Ended) for one in said):
                said += await asyncio.gather(*(answer(door, message, 10.0) for _ in range(8)))
            return said
        finally:
            await door.close()

    said = uvloop.run(run())
    assert len(said) > 16
    ends = [one for one in said if isinstance(one, Ended)]
    assert 0 < len(ends) <= 8
    assert {"UNAVAILABLE", "SHUTTING_DOWN"} >= {one.reason for one in ends}
    assert 0 == server.wait()


def test_nobody_there_is_said_in_a_sentence() -> None:
    """By every door, with the address."""
    for transport in TRANSPORTS:
        for address in ("127.0.0.1:1", "nonsense"):

            async def run(way: Transport = transport, where: str = address) -> None:
                door = make(way, where, 1)
                try:
                    await door.open()
                finally:
                    await door.close()

            with pytest.raises(ConnectionError, match=f"no server answers at {address}"):
                uvloop.run(run())
