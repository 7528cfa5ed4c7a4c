"""Peers who break HTTP/2's rules, or keep them and mean harm, against a real server that serves others."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from http2 import frames
from tests.bundles.tiny import STRICT, TINY
from tests.e2e.calls import Caller, Refused, dial
from tests.e2e.rawclient import framed
from tests.e2e.rawframes import data, opened, peer, request_block
from tests.e2e.running import RunningServer, Start

EXAMPLE = TINY.example(6, seed=1)
MESSAGE = TINY.message(EXAMPLE)
BODY = framed(MESSAGE.SerializeToString())
CLAIM = b"\0" + (8 << 20).to_bytes(4, "big")
"""The prefix of the longest message that is allowed."""
GROWTH_BYTES_MAX = 48 << 20
"""Of the server's memory, at its peak; its allocator keeps what it once had."""
END = frames.END_HEADERS | frames.END_STREAM


def peak_bytes(server: RunningServer) -> int:
    """Most memory that the process has held so far."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def serves(caller: Caller) -> bool:
    """Somebody else gets exact scores."""
    return TINY.scores(EXAMPLE).tolist() == caller.send(MESSAGE).ranked().scores.tolist()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for ranker in (TINY, STRICT):
        ranker.write(folder)
    return folder


@pytest.fixture
def watchful(models: Path, start: Start) -> RunningServer:
    """A server that looks after its connections several times a second."""
    return start(models, "--set=listen.keepalive_s=0.3")


# --- who breaks the rules ---


@pytest.mark.parametrize(
    "hello",
    [
        b"GET /podium.v1.Ranker/Rank HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        frames.PREFACE + opened(1),
    ],
    ids=["HTTP/1.1", "TLS", "no settings"],
)
def test_who_does_not_speak_http2_is_hung_up_on(server: RunningServer, caller: Caller, hello: bytes) -> None:
    """At once, with PROTOCOL_ERROR; others are served."""
    with peer(server.target, hello=[hello]) as wrong:
        assert frames.PROTOCOL_ERROR == wrong.closed_with()
    assert serves(caller)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (frames.head(2 << 20, frames.DATA, 0, 1), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.PING, 0, 0, b"short"), frames.FRAME_SIZE_ERROR),
        (frames.window_update(0, frames.WINDOW_MAX), frames.FLOW_CONTROL_ERROR),
        (opened(1, b"\xff\xff\xff\xff\xff\xff"), frames.COMPRESSION_ERROR),
        (
            frames.frame(frames.HEADERS, 0, 1, bytes(30_000))
            + frames.frame(frames.CONTINUATION, 0, 1, bytes(30_000)) * 2,
            frames.ENHANCE_YOUR_CALM,
        ),
        (
            frames.frame(frames.HEADERS, 0, 1) + frames.frame(frames.CONTINUATION, 0, 1) * 100,
            frames.ENHANCE_YOUR_CALM,
        ),
        (frames.settings({frames.INITIAL_WINDOW_SIZE: 1000}) * 1001, frames.ENHANCE_YOUR_CALM),
        (opened(2), frames.PROTOCOL_ERROR),
        (data(1, b"x"), frames.PROTOCOL_ERROR),
    ],
    ids=[
        "long frame",
        "short ping",
        "window",
        "hpack",
        "headers",
        "continuation",
        "settings",
        "even",
        "idle",
    ],
)
def test_a_broken_connection_is_told_why(
    server: RunningServer, caller: Caller, wrong: bytes, code: int
) -> None:
    """The GOAWAY's code is RFC 9113's; others are served."""
    with peer(server.target) as broken:
        broken.send(wrong)
        assert code == broken.closed_with()
    assert serves(caller)


def test_a_broken_call_ends_alone(server: RunningServer) -> None:
    """Data after the end resets its stream; another call of the same connection is answered."""
    with peer(server.target) as one:
        one.send(opened(1), data(1, BODY[:-1]), opened(3, last=True), data(3, b"late"))
        reset = one.read_until(frames.RST_STREAM, 3)
        assert frames.STREAM_CLOSED == frames.number(reset.payload)
        one.send(data(1, BODY[-1:], last=True))
        assert "200" == one.headers(1)[":status"]
        assert "0" == one.headers(1)["grpc-status"]


def test_a_log_says_why_a_connection_was_broken_off(models: Path, start: Start) -> None:
    """In one sentence, without a word of what the peer said."""
    server = start(models)
    with peer(server.target) as broken:
        broken.send(opened(1, b"\x40\x06secret\xff\xff\xff\xff\xff\xff\xff"))
        broken.read_to_end()
    assert "a header block cannot be decoded" == server.logged("connection broken off")["cause"]
    assert "secret" not in server.errors.read_text()


# --- who is not gRPC, or asks for what there is not ---


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/grpc-web", "application/grpcx", "", "text/html"]
)
def test_another_content_type_is_not_grpc(server: RunningServer, content_type: str) -> None:
    """415, as gRPC asks of a server; the connection is as good as before."""
    with peer(server.target) as one:
        one.send(opened(1, request_block(content_type=content_type)), data(1, BODY, last=True))
        assert {":status": "415"} == one.headers(1)
        one.send(opened(3, request_block(content_type="application/grpc+proto")), data(3, BODY, last=True))
        assert "200" == one.headers(3)[":status"]


@pytest.mark.parametrize(
    ("block", "body", "code", "words"),
    [
        (request_block("/podium.v1.Ranker/Other"), BODY, "12", "no such method"),
        (request_block("/other.Service/Rank"), BODY, "12", "no such method"),
        (request_block(grpc_timeout="1 s"), BODY, "13", "grpc-timeout"),
        (request_block(grpc_timeout="123456789S"), BODY, "13", "grpc-timeout"),
        (request_block(grpc_timeout="0n"), BODY, "4", "deadline"),
        (request_block(), b"", "13", "none came"),
        (request_block(), BODY[:-1], "13", "inside a message"),
        (request_block(), b"\0\xff\xff\xff\xff", "8", "8388608 are allowed"),
        (request_block(), b"\1" + BODY[1:], "12", "identity only"),
        (request_block("/podium.v1.Ranker/ListModels"), b"", "13", "none came"),
        (request_block("/grpc.health.v1.Health/Watch"), b"", "13", "none came"),
        (request_block("/grpc.health.v1.Health/Watch"), framed(b"\xff"), "3", "HealthCheckRequest"),
        (request_block("/grpc.health.v1.Health/Check"), framed(b"\xff"), "3", "HealthCheckRequest"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_call_that_cannot_be_is_told_why(
    server: RunningServer, block: bytes, body: bytes, code: str, words: str
) -> None:
    """Trailers alone, with a status and a sentence; and a call after it is answered."""
    with peer(server.target) as one:
        one.send(opened(1, block), data(1, body, last=True))
        said = one.headers(1)
        assert ("200", code) == (said[":status"], said["grpc-status"])
        assert words in said["grpc-message"]
        one.send(opened(3), data(3, BODY, last=True))
        assert "200" == one.headers(3)[":status"]


def test_who_compresses_is_told_what_is_taken(server: RunningServer) -> None:
    """grpc-accept-encoding, as gRPC's compression.md asks of whoever refuses an encoding."""
    with peer(server.target) as one:
        one.send(opened(1, request_block(grpc_encoding="gzip")), data(1, b"\1" + BODY[1:], last=True))
        said = one.headers(1)
        assert ("12", "identity") == (said["grpc-status"], said["grpc-accept-encoding"])


def test_the_longest_timeout_is_a_timeout(server: RunningServer) -> None:
    """99,999,999 hours are more than any clock here counts to; the model's own budget is what remains."""
    with peer(server.target) as one:
        one.send(opened(1, request_block(grpc_timeout="99999999H")), data(1, BODY, last=True))
        assert "200" == one.headers(1)[":status"]
        assert "0" == one.headers(1)["grpc-status"]


@pytest.mark.parametrize(
    ("body", "code"), [(b"\1\0\0\0\0", "12"), (b"\0\xff\xff\xff\xff", "8")], ids=["compressed", "too long"]
)
def test_a_stream_that_cannot_be_read_ends_with_trailers(
    server: RunningServer, body: bytes, code: str
) -> None:
    """Its headers are out already, so that no second `:status` may follow; what it accepts is said."""
    with peer(server.target) as one:
        one.send(opened(1, request_block("/podium.v1.Ranker/RankStream")))
        assert "200" == one.headers(1)[":status"]
        one.send(data(1, body))
        trailers = one.headers(1)
        assert (None, code) == (trailers.get(":status"), trailers["grpc-status"])
        assert ("identity" if code == "12" else None) == trailers.get("grpc-accept-encoding")


def test_a_second_message_of_a_watch_breaks_nothing(models: Path, start: Start) -> None:
    """It ends the call; nobody is told of changes any more, and the server still drains."""
    server = start(models)
    with peer(server.target) as one:
        one.send(opened(1, request_block("/grpc.health.v1.Health/Watch")), data(1, framed(b"")))
        assert "200" == one.headers(1)[":status"]
        one.send(data(1, framed(b"\xff")))
        assert "13" == one.headers(1)["grpc-status"]
        server.signal()
        assert 0 == server.wait()


def test_a_window_of_one_byte_is_enough(server: RunningServer) -> None:
    """An answer goes out byte by byte, if that is what the caller makes room for, and ends as it should."""
    with peer(server.target, {frames.INITIAL_WINDOW_SIZE: 1}) as one:
        block = request_block("/podium.v1.Ranker/ListModels")
        one.send(opened(1, block), data(1, framed(b""), last=True))
        assert "200" == one.headers(1)[":status"]
        answer = b""
        while len(answer) < 5 or len(answer) < 5 + int.from_bytes(answer[1:5], "big"):
            answer += bytes(one.read_until(frames.DATA, 1).payload)
            one.send(frames.window_update(1, 1))
        assert "0" == one.headers(1)["grpc-status"]


# --- who means harm ---


def test_rapid_resets_cost_little(models: Path, start: Start) -> None:
    """20,000 calls, each given up at once (CVE-2023-44487): all are counted, none stays."""
    server = start(models)
    with dial(server.target) as caller, peer(server.target) as one:
        assert serves(caller)
        before = peak_bytes(server)
        for begin in range(1, 40_001, 2_000):
            one.send(
                *(
                    opened(stream) + data(stream, BODY, last=True) + frames.reset(stream, frames.CANCEL)
                    for stream in range(begin, begin + 2_000, 2)
                )
            )
        assert serves(caller)
        one.send(frames.frame(frames.PING, 0, 0, b"the end!"))
        one.read_until(frames.PING)
        scrape = server.wait_for(lambda scrape: scrape.total("podium_in_flight") == 0)
        assert 20_002 == scrape.total("podium_requests_total")
        assert peak_bytes(server) - before < GROWTH_BYTES_MAX


@pytest.mark.parametrize(
    "flood",
    [
        frames.frame(frames.PING, 0, 0, bytes(8)),
        opened(1, b"", last=True),
    ],
    ids=["pings", "resets"],
)
def test_who_does_not_read_is_not_listened_to(models: Path, start: Start, flood: bytes) -> None:
    """What would be answered is not even read; others are served; at last the silent peer is hung up on."""
    server = start(models, "--set=listen.keepalive_s=1")
    with dial(server.target) as caller, peer(server.target) as deaf:
        assert serves(caller)
        before = peak_bytes(server)
        if flood[3] == frames.HEADERS:
            streams = range(1, 1_000_001, 2)
            flood = b"".join(flood[:5] + stream.to_bytes(4, "big") + flood[9:] for stream in streams)
        taken = deaf.send_until_blocked(flood, 1 << 30)
        assert taken < 1 << 30
        assert serves(caller)
        assert peak_bytes(server) - before < GROWTH_BYTES_MAX
        while deaf.read():  # it was aborted: what is left in the kernel comes, then the reset
            pass
        assert serves(caller)


def test_a_claim_takes_no_memory_and_no_room(models: Path, start: Start) -> None:
    """A thousand messages that say they have 8 MiB, and come byte by byte, keep nobody else out."""
    server = start(models, "--set=limits.in_flight_bytes_max=16777216")
    with dial(server.target) as caller, peer(server.target) as one:
        assert serves(caller)
        before = peak_bytes(server)
        streams = range(1, 2_001, 2)
        one.send(*(opened(stream) + data(stream, CLAIM) for stream in streams))
        for _ in range(5):
            one.send(*(data(stream, b"x") for stream in streams))
        one.send(frames.frame(frames.PING, 0, 0, b"the end!"))
        one.read_until(frames.PING)
        assert serves(caller)
        assert peak_bytes(server) - before < GROWTH_BYTES_MAX


def test_who_fills_the_room_is_given_up(models: Path, start: Start) -> None:
    """Messages that stop half-way hold what has come of them for two looks; then there is room again."""
    server = start(models, "--set=limits.in_flight_bytes_max=1000000", "--set=listen.keepalive_s=0.3")
    with dial(server.target) as caller, peer(server.target) as one:
        assert serves(caller)
        one.send(opened(1), data(1, CLAIM), *[data(1, bytes(16_000))] * 70)
        trailers = one.headers(1)
        assert ("8", True) == (trailers["grpc-status"], "1000000 bytes" in trailers["grpc-message"])
        one.send(opened(3), data(3, CLAIM), data(3, bytes(10)))
        assert one.answers_pings(1.0)
        trailers = one.headers(3)
        assert ("4", True) == (trailers["grpc-status"], "did not come" in trailers["grpc-message"])
        assert serves(caller)


# --- who is silent ---


@pytest.mark.parametrize("hello", [b"PRI * HT", frames.PREFACE, frames.PREFACE + frames.settings({})])
def test_a_dead_peer_is_hung_up_on(watchful: RunningServer, hello: bytes) -> None:
    """Whoever answers no PING is gone, however far it had come; so is what it had asked for."""
    with peer(watchful.target, hello=[hello]) as dead:
        if hello.endswith(frames.settings({})):
            dead.send(opened(1, request_block("/podium.v1.Ranker/RankStream")))
        kinds = [one.kind for one in dead.read_to_end()]
    assert frames.PING in kinds
    assert frames.GOAWAY not in kinds


def test_who_answers_is_left_alone(watchful: RunningServer) -> None:
    """A call that says nothing for long, on a connection that lives, is no fault."""
    with peer(watchful.target) as idle:
        idle.send(opened(1))
        assert idle.answers_pings(1.5)
        idle.send(data(1, BODY, last=True))
        assert "200" == idle.headers(1)[":status"]


def test_more_connections_than_anyone_needs(server: RunningServer, caller: Caller) -> None:
    """A hundred peers who never say a word keep nobody out."""
    with ExitStack() as silent:
        for _ in range(100):
            silent.enter_context(peer(server.target, hello=[b"P"]))
        assert serves(caller)


def test_the_caller_learns_of_a_full_room(models: Path, start: Start) -> None:
    """grpcio reads the refusal of a message that found no room like any other status."""
    server = start(models, "--set=limits.in_flight_bytes_max=1000")
    with dial(server.target) as caller, peer(server.target) as one:
        one.send(opened(1), data(1, CLAIM + bytes(2000)), frames.frame(frames.PING, 0, 0, bytes(8)))
        one.read_until(frames.PING)
        answer = caller.send(MESSAGE).answer()
        assert isinstance(answer, Refused)
        assert "IN_FLIGHT_BYTES" == answer.reason
