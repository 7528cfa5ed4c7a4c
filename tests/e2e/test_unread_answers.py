"""Clients that do not read: what they leave unread is bounded, then refused, and costs nobody else."""

from __future__ import annotations

import socket
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from podium.v1 import ranking_pb2 as pb
from tests.bundles.tiny import TINY
from tests.e2e.calls import Ranked, Refused, dial
from tests.e2e.rawclient import WINDOW_MAX, RawClient, framed, raw, reason
from tests.e2e.running import RunningServer, Start
from tests.e2e.scripted import PATIENT, STUCK_MS, is_running, stalled
from tests.e2e.streams import read_answer

GROWTH_BYTES_MAX = 48 << 20
"""Of the server's memory, at its peak. What is sent here would take several times as much, were it kept."""
BIG = TINY.message(TINY.example(300)).SerializeToString()
"""Its answer has 1.8 kB."""
REFUSED = pb.RankRequest(model="tiny").SerializeToString()
"""11 bytes on a stream; the refusal has 15 times as many."""
EXAMPLE = TINY.example(6, seed=1)


def asked(number: int, body: bytes = BIG) -> bytes:
    """A framed StreamRequest."""
    return framed(pb.StreamRequest(id=number, rank=pb.RankRequest.FromString(body)).SerializeToString())


def peak_bytes(server: RunningServer) -> int:
    """Most memory that the process has held so far."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def requests(server: RunningServer) -> float:
    """How many have ended so far."""
    return server.metrics().total("podium_requests_total")


def reaches(server: RunningServer, count: float) -> bool:
    """So many requests end; False when none has for a second."""
    at, since_s = requests(server), time.monotonic()
    while at < count and time.monotonic() - since_s < 1:
        now = requests(server)
        if now != at:
            at, since_s = now, time.monotonic()
    return at >= count


def serves(server: RunningServer) -> bool:
    """A client of its own gets its exact scores."""
    with dial(server.target) as caller:
        answer = caller.send(TINY.message(EXAMPLE)).ranked()
    return TINY.scores(EXAMPLE).tolist() == answer.scores.tolist()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for ranker in (TINY, PATIENT):
        ranker.write(folder)
    return folder


def batch(client: RawClient, call: int, body: bytes, first: int, count: int, *, flush: bool = True) -> None:
    """Ask so often, under the ids from `first`."""
    client.put(call, b"".join(asked(number, body) for number in range(first, first + count)))
    if flush:
        client.flush()


@pytest.mark.parametrize("body", [BIG, REFUSED], ids=["answers", "refusals"])
def test_who_opens_no_window_is_refused_and_then_told_to_go(server: RunningServer, body: bytes) -> None:
    """At most so many bytes wait for it; then it is refused; if it goes on asking, its stream is ended."""
    before, peak_before = server.metrics(), peak_bytes(server)
    with raw(server.target, window=0) as client:
        call = client.open_rank_stream()
        at = 1
        while call not in client.ended and at < 50_000:
            if client.room(call) > 100 * len(asked(at, body)):
                batch(client, call, body, at, 100)
                at += 100
                client.read_ready()
            else:
                client.read()
        trailers = client.read_to_end(call)
        assert (str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]), "UNREAD_ANSWERS") == (
            trailers["grpc-status"],
            reason(trailers),
        )
        assert [] == client.messages(call)
        assert serves(server)
    server.wait_for(lambda scrape: 0 == scrape.total("podium_in_flight"))
    refused = server.metrics().total("podium_refusals_total", reason="UNREAD_ANSWERS")
    assert refused > before.total("podium_refusals_total", reason="UNREAD_ANSWERS")
    assert peak_bytes(server) - peak_before < GROWTH_BYTES_MAX


def test_who_reads_again_is_served_again(models: Path, start: Start) -> None:
    """Nothing that was said is lost: neither answers, more of them than may wait, nor refusals."""
    server = start(models, f"--set=limits.unread_bytes_max={10_000}")
    with raw(server.target, window=0) as client:
        call = client.open_rank_stream()
        batch(client, call, BIG, 1, 20)
        server.wait_for(lambda scrape: 20 == scrape.total("podium_requests_total", outcome="scored"))
        batch(client, call, BIG, 21, 3)
        server.wait_for(lambda scrape: 3 == scrape.total("podium_refusals_total", reason="UNREAD_ANSWERS"))
        client.widen(call, WINDOW_MAX >> 1)
        while len(client.messages(call)) < 1 + 23:
            client.read()
        batch(client, call, BIG, 24, 1)
        client.put(call, b"", last=True)
        client.flush()
        assert "0" == client.read_to_end(call)["grpc-status"]
        notice, *responses = client.responses(call)
    assert notice.HasField("notice")
    assert Counter(range(1, 25)) == Counter(one.id for one in responses)
    refusals = [read_answer(one) for one in responses if one.WhichOneof("body") == "refused"]
    assert [("overloaded", "UNREAD_ANSWERS", True)] * 3 == [
        (one.kind, one.reason, bool(one.retry_after_s)) for one in refusals if isinstance(one, Refused)
    ]


def test_who_leaves_its_socket_unread_is_held_back(server: RunningServer) -> None:
    """Its windows are wide open, but nothing more is taken from it; when it reads, it has all its answers."""
    done, peak_before = requests(server), peak_bytes(server)
    with raw(server.target, buffer_bytes=1 << 16) as client:
        asked_of = {client.open_rank_stream(): 0 for _ in range(7)}
        for call in [*asked_of] * 4:
            batch(client, call, BIG, asked_of[call] + 1, 200, flush=False)
            asked_of[call] += 200
            done += 200
            unsent = client.send_for_a_while()
            if unsent or not reaches(server, done):
                break
        else:
            pytest.fail("the server took everything")
        assert serves(server)
        assert peak_bytes(server) - peak_before < GROWTH_BYTES_MAX
        client.send_while_reading(unsent)
        for call in asked_of:
            client.put(call, b"", last=True)
        client.flush()
        assert {"0"} == {client.read_to_end(call)["grpc-status"] for call in asked_of}
        answered = {call: Counter(one.id for one in client.responses(call)) for call in asked_of}
        assert {call: Counter(range(count + 1)) for call, count in asked_of.items()} == answered


@pytest.mark.parametrize("method", ["Rank", "ListModels"])
def test_a_whole_answer_waits_for_its_window(server: RunningServer, method: str) -> None:
    """And is not replaced by anything meanwhile."""
    with raw(server.target, window=0) as client:
        call = client.open(f"/podium.v1.Ranker/{method}")
        body = TINY.message(EXAMPLE).SerializeToString() if method == "Rank" else b""
        client.put(call, framed(body), last=True)
        client.flush()
        while not client.headers[call]:
            client.read()
        client.widen(call, WINDOW_MAX >> 1)
        assert "0" == client.read_to_end(call)["grpc-status"]
        (message,) = client.messages(call)
    if method == "Rank":
        scores = Ranked(pb.RankResponse.FromString(message)).scores
        assert TINY.scores(EXAMPLE).tolist() == scores.tolist()
    else:
        assert {"tiny"} < {one.model for one in pb.ListModelsResponse.FromString(message).models}


def test_a_drain_waits_for_who_still_reads(models: Path, start: Start) -> None:
    """What was accepted and answered is not taken back: the unread answers come first, then the end."""
    server = start(models)
    with raw(server.target, window=0) as client:
        call = client.open_rank_stream()
        batch(client, call, BIG, 1, 5)
        server.wait_for(lambda scrape: 5 == scrape.total("podium_requests_total", outcome="scored"))
        server.signal()
        while not client.goaways:
            client.read()
        client.widen(call, WINDOW_MAX >> 1)
        trailers = client.read_to_end(call)
        assert (str(grpc.StatusCode.UNAVAILABLE.value[0]), "SHUTTING_DOWN") == (
            trailers["grpc-status"],
            reason(trailers),
        )
        bodies = Counter(one.WhichOneof("body") for one in client.responses(call))
        assert Counter(notice=2, ranked=5) == bodies
    assert 0 == server.wait()


def test_a_drain_waits_until_its_last_words_are_read(models: Path, start: Start) -> None:
    """The kernel has them, but drops them if the server hangs up and the client still says something."""
    server = stalled(start, models, 500)
    with raw(server.target, buffer_bytes=1 << 16) as client:
        call = client.open_rank_stream()
        batch(client, call, PATIENT.message(PATIENT.example(300)).SerializeToString(), 1, 200)
        server.wait_for(lambda scrape: 199 == scrape.total("podium_queue_depth"))
        server.signal()
        while not client.goaways:
            client.read()
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(1.5)
        batch(client, call, REFUSED, 201, 1)
        assert "SHUTTING_DOWN" == reason(client.read_to_end(call))
        ranked = [one.id for one in client.responses(call) if one.WhichOneof("body") == "ranked"]
        assert Counter(range(1, 201)) == Counter(ranked)
    assert 0 == server.wait()


def test_a_drain_does_not_wait_for_ever_for_who_reads_nothing(models: Path, start: Start) -> None:
    """Unread answers keep a server until drain.finish_s_max, and no longer."""
    server = start(models, "--set=drain.finish_s_max=0.2")
    with raw(server.target, window=0) as client:
        call = client.open_rank_stream()
        batch(client, call, BIG, 1, 5)
        server.wait_for(lambda scrape: 5 == scrape.total("podium_requests_total", outcome="scored"))
        server.signal()
        assert 0 == server.wait()


def test_a_stream_that_opens_while_the_server_leaves_is_told(models: Path, start: Start) -> None:
    """A client that has not heard the GOAWAY yet: its idle stream is ended SHUTTING_DOWN, not forgotten."""
    server = stalled(start, models, STUCK_MS, "--set=drain.finish_s_max=1000")
    with raw(server.target) as client:
        busy = client.open_rank_stream()
        client.put(busy, asked(1, PATIENT.message(PATIENT.example(3)).SerializeToString()))
        client.flush()
        server.wait_for(is_running)
        server.signal()
        wait_until_closed(server.target)
        idle = client.open_rank_stream()
        client.flush()
        assert "SHUTTING_DOWN" == reason(client.read_to_end(idle))
        assert busy not in client.ended
    assert 0 == server.wait()


def wait_until_closed(target: str) -> None:
    """Until nobody listens there."""
    host, _, port = target.rpartition(":")
    with suppress(ConnectionRefusedError, ConnectionResetError):
        while True:
            socket.create_connection((host, int(port))).close()
