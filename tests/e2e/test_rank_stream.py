"""RankStream: each request on a stream has an id, a deadline, a refusal, cancel and one answer of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from podium.v1 import ranking_pb2 as pb
from protos.varint import varint
from tests.bundles.tiny import TINY
from tests.e2e.calls import Caller, Ranked, Refused, dial
from tests.e2e.rawclient import framed, raw
from tests.e2e.running import RunningServer, Start
from tests.e2e.scripted import PATIENT, STUCK_MS, blocked, fake, is_running, stalled
from tests.e2e.streams import Stream, opened, read_answer

IN_FLIGHT_MAX = 1024
"""limits.stream_in_flight_max's default."""
MESSAGE = PATIENT.message(PATIENT.example(5))
MALFORMED = pb.RankRequest(model=PATIENT.name)
"""Refused at once: it has no candidates."""
EXAMPLE = TINY.example(6, seed=1)
BODY = TINY.message(EXAMPLE).SerializeToString()
RANK = b"\x12" + varint(len(BODY)) + BODY
CANCEL = b"\x1a\x00"
ID = 9
ID_BYTES = b"\x08\x09"
UNKNOWN_FIELDS = b"\x78\x01" + b"\xfa\x01\x03abc" + b"\x85\x02abcd"
"""Numbers 15, 31 and 32, of three wire types."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    PATIENT.write(folder)
    return folder


@pytest.fixture
def stream(caller: Caller) -> Iterator[Stream]:
    """A stream to the session's server."""
    with opened(caller) as stream:
        yield stream


def ids(responses: list[pb.StreamResponse]) -> Counter[int]:
    """How often each id was answered; what is said of the stream does not count."""
    return Counter(one.id for one in responses if one.WhichOneof("body") != "notice")


def cancelled(answer: Refused) -> bool:
    """It was refused because its caller took it back."""
    said = (answer.code, answer.kind, answer.reason, answer.retry_after_s)
    return said == (grpc.StatusCode.CANCELLED, "cancelled", "CALLER_CANCELLED", None)


def test_a_stream_begins_with_what_it_takes(stream: Stream) -> None:
    """A notice, before anything is asked: how many may be in flight; a stream without requests ends well."""
    stream.wait_for(lambda: bool(stream.responses))
    assert [pb.StreamResponse(id=0, notice=pb.Notice(in_flight_max=IN_FLIGHT_MAX))] == stream.finish()


def test_a_slow_request_delays_nobody(models: Path, start: Start) -> None:
    """While one run is stuck, all else on its stream is ranked or refused by the other executor."""
    server = stalled(start, models, STUCK_MS, "--set=engine.executors=2")
    with dial(server.target) as caller, opened(caller) as stream:
        slow = blocked(server, stream, PATIENT)
        others = stream.send_all([MESSAGE, MALFORMED] * 20)
        answers = [message.answer() for message in others]
        assert not stream.answers.get(1)
        assert [Ranked, Refused] * 20 == [type(answer) for answer in answers]
        slow.cancel()
        assert cancelled(slow.refused())
        assert Counter(range(1, 42)) == ids(stream.finish())


def test_a_refused_request_delays_nobody_and_waits_for_nobody(models: Path, start: Start) -> None:
    """While accepted requests wait, refusals are said at once; the deadline of one is not another's."""
    server = stalled(start, models, STUCK_MS)
    hasty = pb.RankRequest.FromString(MESSAGE.SerializeToString())
    hasty.timeout_us = 400_000
    with dial(server.target) as caller, opened(caller) as stream:
        first = blocked(server, stream, PATIENT)
        waiting = stream.send_all([MESSAGE] * 5)
        refused = stream.send_all([MALFORMED, b"\xff", hasty])
        reasons = [message.refused().reason for message in refused]
        assert ["NO_CANDIDATES", "MALFORMED_REQUEST", "EXPIRED_IN_QUEUE"] == reasons
        assert [] == [message for message in [first, *waiting] if stream.answers[message.number]]


def test_a_thousand_are_in_flight_and_one_more_is_refused(models: Path, start: Start) -> None:
    """The 1,025th is refused STREAM_FULL, with a wait; it hurts none of the 1,024 and ends nothing."""
    server = stalled(start, models, 2500)
    with dial(server.target) as caller, opened(caller) as stream:
        first = blocked(server, stream, PATIENT)
        waiting = stream.send_all([MESSAGE] * (IN_FLIGHT_MAX - 1))
        server.wait_for(lambda scrape: IN_FLIGHT_MAX - 1 == scrape.total("podium_queue_depth"))
        refused = stream.send(MESSAGE).refused()
        assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", "STREAM_FULL") == (
            refused.code,
            refused.kind,
            refused.reason,
        )
        assert refused.retry_after_s
        waiting[-1].cancel()
        assert cancelled(waiting.pop().refused())
        waiting.append(stream.send(MESSAGE))
        with opened(caller) as other:
            answers = [message.answer() for message in [first, *waiting, other.send(MESSAGE)]]
        assert {Ranked} == {type(answer) for answer in answers}
        assert Counter(range(1, IN_FLIGHT_MAX + 3)) == ids(stream.finish())
    scrape = server.metrics()
    assert (IN_FLIGHT_MAX + 1, 1, 1) == (
        scrape.total("podium_requests_total", outcome="scored"),
        scrape.total("podium_requests_total", outcome="overloaded"),
        scrape.total("podium_requests_total", outcome="cancelled"),
    )


ODD_BUT_GOOD = [
    pytest.param(RANK + ID_BYTES, ID, id="id after the request"),
    pytest.param(b"\x08\x04" + ID_BYTES + RANK, ID, id="id given twice"),
    pytest.param(b"\x08\x89\x80\x00" + RANK, ID, id="id longer than it need be"),
    pytest.param(
        ID_BYTES + b"\x12" + varint(len(BODY) % 128 | 128)[:1] + bytes([len(BODY) >> 7 | 128, 0]) + BODY,
        ID,
        id="length longer than it need be",
    ),
    pytest.param(UNKNOWN_FIELDS + ID_BYTES + RANK, ID, id="unknown fields first"),
    pytest.param(ID_BYTES + UNKNOWN_FIELDS + RANK + UNKNOWN_FIELDS, ID, id="unknown fields between"),
    pytest.param(
        ID_BYTES + b"\x12\x06\x0a\x04tiny" + RANK, ID, id="request in two parts, which are one in protobuf"
    ),
    pytest.param(ID_BYTES + CANCEL + RANK, ID, id="the last of two bodies"),
    pytest.param(b"\x08" + varint(2**64 - 1) + RANK, 2**64 - 1, id="greatest id"),
    pytest.param(b"\x08" + varint(2**63) + RANK, 2**63, id="id with the sign bit"),
]


@pytest.mark.parametrize(("data", "number"), ODD_BUT_GOOD)
def test_whatever_means_a_request_is_ranked(stream: Stream, data: bytes, number: int) -> None:
    """Bytes that protobuf reads as a StreamRequest are one, however they are put together."""
    assert number == pb.StreamRequest.FromString(data).id
    stream.put(data)
    responses = stream.finish()
    assert Counter([number]) == ids(responses)
    assert TINY.scores(EXAMPLE).tolist() == Ranked(responses[-1].ranked).scores.tolist()


NO_REQUESTS = [
    pytest.param(b"", 0, "MALFORMED_REQUEST", "", id="empty"),
    pytest.param(b"\xff\xff", 0, "MALFORMED_REQUEST", "", id="no protobuf"),
    pytest.param(ID_BYTES, ID, "MALFORMED_REQUEST", "", id="no body"),
    pytest.param(ID_BYTES + UNKNOWN_FIELDS, ID, "MALFORMED_REQUEST", "", id="a body from the future"),
    pytest.param(b"\x08" + b"\x80" * 10 + b"\x01" + RANK, 0, "MALFORMED_REQUEST", "", id="endless id"),
    pytest.param(b"\x08", 0, "MALFORMED_REQUEST", "", id="id cut off"),
    pytest.param((ID_BYTES + RANK)[:-1], 0, "MALFORMED_REQUEST", "", id="request cut off"),
    pytest.param(ID_BYTES + b"\x12\x02\xff\xff", ID, "MALFORMED_REQUEST", "", id="request is no protobuf"),
    pytest.param(ID_BYTES + b"\x12\x00", ID, "MODEL_NOT_FOUND", "model", id="empty request"),
    pytest.param(RANK, 0, "INVALID_STREAM_ID", "id", id="no id"),
    pytest.param(b"\x08\x00" + RANK, 0, "INVALID_STREAM_ID", "id", id="id 0"),
]


@pytest.mark.parametrize(("data", "number", "reason", "field"), NO_REQUESTS)
def test_what_is_no_request_is_refused_alone(
    server: RunningServer, stream: Stream, data: bytes, number: int, reason: str, field: str
) -> None:
    """Under its id where one can be read, else under 0, and counted; its neighbours are ranked."""
    before = server.metrics()
    around = [stream.send(BODY)]
    stream.put(data)
    around.append(stream.send(BODY))
    assert [TINY.scores(EXAMPLE).tolist()] * 2 == [one.ranked().scores.tolist() for one in around]
    responses = stream.finish()
    assert Counter([1, 2, number]) == ids(responses)
    (refused,) = (read_answer(one) for one in responses if one.WhichOneof("body") == "refused")
    assert isinstance(refused, Refused)
    assert ("invalid", reason, field, None) == (
        refused.kind,
        refused.reason,
        refused.field,
        refused.retry_after_s,
    )
    after = server.metrics()
    assert 3 == after.total("podium_requests_total") - before.total("podium_requests_total")


def test_an_id_can_be_used_again_once_it_is_answered(stream: Stream) -> None:
    """Unique among those in flight is enough; a refused one is free as well."""
    assert "NO_CANDIDATES" == stream.send(pb.RankRequest(model="tiny"), 7).refused().reason
    for _ in range(2):
        assert TINY.scores(EXAMPLE).tolist() == stream.send(BODY, 7).ranked().scores.tolist()
    assert Counter({7: 3}) == ids(stream.finish())


def test_an_id_in_flight_is_not_taken_twice(models: Path, start: Start) -> None:
    """The second request under it is refused INVALID_STREAM_ID; the first is still the one that waits."""
    server = stalled(start, models, STUCK_MS)
    with dial(server.target) as caller, opened(caller) as stream:
        first = blocked(server, stream, PATIENT)
        stream.send(MESSAGE, 1)
        stream.wait_for(lambda: bool(stream.answers[1]))
        refused = read_answer(stream.answers[1][0][1])
        assert isinstance(refused, Refused)
        assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_STREAM_ID", "id") == (
            refused.code,
            refused.reason,
            refused.field,
        )
        assert is_running(server.metrics())
        first.cancel()
        stream.wait_for(lambda: 2 == len(stream.answers[1]))
        assert Counter({1: 2}) == ids(stream.finish())


def test_who_waits_or_runs_can_be_taken_back(models: Path, start: Start) -> None:
    """Each Cancel has one answer, CANCELLED, at once; what a run still says of its request is dropped."""
    server = stalled(start, models, 400)
    with dial(server.target) as caller, opened(caller) as stream:
        running = blocked(server, stream, PATIENT)
        waiting, stays = stream.send_all([MESSAGE] * 2)
        server.wait_for(lambda scrape: 2 == scrape.total("podium_queue_depth"))
        for message in (waiting, running):
            message.cancel()
            message.cancel()
        assert [True, True] == [cancelled(message.refused()) for message in (waiting, running)]
        assert not stays.answered
        assert 1 == stays.ranked().response.timings.batch_requests
        assert Counter([1, 2, 3]) == ids(stream.finish())
    scrape = server.metrics()
    assert (2.0, 1.0, 0.0, 0.0) == (
        scrape.total("podium_requests_total", outcome="cancelled"),
        scrape.total("podium_requests_total", outcome="scored"),
        scrape.total("podium_in_flight"),
        scrape.total("podium_queue_depth"),
    )


def test_a_cancel_of_nothing_is_nothing(server: RunningServer, stream: Stream) -> None:
    """Of an id that was never used, is answered already, or is 0: no answer, no count."""
    before = server.metrics()
    finished = stream.send(BODY)
    finished.ranked()
    for number in (0, finished.number, 77, 2**64 - 1):
        stream.cancel(number)
    stream.put(ID_BYTES + RANK + CANCEL)  # of two bodies the last one counts
    assert TINY.scores(EXAMPLE).tolist() == stream.send(BODY).ranked().scores.tolist()
    assert Counter([1, 2]) == ids(stream.finish())
    after = server.metrics()
    assert 2 == after.total("podium_requests_total") - before.total("podium_requests_total")


def test_who_says_no_more_still_gets_every_answer(models: Path, start: Start) -> None:
    """Half-closed with answers outstanding: all of them, then OK."""
    server = stalled(start, models, 300)
    with dial(server.target) as caller, opened(caller) as stream:
        pending = [blocked(server, stream, PATIENT), *stream.send_all([MESSAGE, MALFORMED, MESSAGE])]
        stream.half_close()
        assert stream.end() is None
        answers = [message.answer() for message in pending]
    assert [Ranked, Ranked, Refused, Ranked] == [type(answer) for answer in answers]


def test_a_client_that_leaves_takes_its_requests_with_it(models: Path, start: Start) -> None:
    """It cancels the call, its deadline comes, or its connection dies: each is counted, none waits on."""
    stuck = {f"stall_runs.{run}": f"{STUCK_MS}" for run in range(3)}
    server = fake(start, models, "--set=engine.executors=3", **stuck)
    for left, timeout_s in ((grpc.StatusCode.CANCELLED, 20.0), (grpc.StatusCode.DEADLINE_EXCEEDED, 0.5)):
        with dial(server.target) as caller, opened(caller, timeout_s) as stream:
            blocked(server, stream, PATIENT)
            if left is grpc.StatusCode.CANCELLED:
                stream.call.cancel()
            refused = stream.end()
            assert refused is not None
            assert left is refused.code
        server.wait_for(lambda scrape: 0 == scrape.total("podium_in_flight"))
    with raw(server.target) as client:
        call = client.open_rank_stream()
        for number in range(1, 7):
            client.put(call, framed(pb.StreamRequest(id=number, rank=MESSAGE).SerializeToString()))
            client.flush()
            server.wait_for(lambda scrape, number=number: number == scrape.total("podium_in_flight"))
        client.vanish()
    server.wait_for(lambda scrape: 0 == scrape.total("podium_in_flight"))
    scrape = server.metrics()  # counters are read before gauges
    assert 0 == scrape.total("podium_queue_depth")
    ended = [scrape.total("podium_requests_total", outcome=outcome) for outcome in ("cancelled", "expired")]
    assert 8 == sum(ended) == scrape.total("podium_requests_total")


def test_the_deadline_of_the_stream_binds_its_last_request_too(server: RunningServer) -> None:
    """Time that has passed since the stream began is gone: whoever asks after its deadline has none left."""
    with raw(server.target) as client:
        call = client.open_rank_stream(("grpc-timeout", "150m"))
        client.put(call, framed(ID_BYTES + RANK))
        client.flush()
        while len(client.messages(call)) < 2:
            client.read()
        client.pause(0.15)
        client.put(call, framed(ID_BYTES + RANK), last=True)
        client.flush()
        assert "0" == client.read_to_end(call)["grpc-status"]
        _, ranked, late = client.responses(call)
    assert TINY.scores(EXAMPLE).tolist() == Ranked(ranked.ranked).scores.tolist()
    refused = read_answer(late)
    assert isinstance(refused, Refused)
    assert ("expired", "EXPIRED_ON_ARRIVAL") == (refused.kind, refused.reason)


def test_every_message_is_counted_once(server: RunningServer, stream: Stream) -> None:
    """Whatever its end: as many requests are counted as were answered, each under its outcome."""
    late = TINY.message(EXAMPLE)
    late.timeout_us = 1
    before = server.metrics()
    stream.send_all([BODY, pb.RankRequest(model="tiny"), pb.RankRequest(model="other"), late] * 3)
    for data in (b"\xff\xff", ID_BYTES, RANK):
        stream.put(data)
    assert 15 == ids(stream.finish()).total()
    after = server.metrics()
    name = "podium_requests_total"
    for outcome, count in {"scored": 3, "invalid": 9, "expired": 3}.items():
        assert count == after.total(name, outcome=outcome) - before.total(name, outcome=outcome)
    assert 15 == after.total(name) - before.total(name)
    assert 12 == after.total("podium_refusals_total") - before.total("podium_refusals_total")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"\0\0\x80\0\x01", grpc.StatusCode.RESOURCE_EXHAUSTED, id="too long"),
        pytest.param(b"\x01\0\0\0\x01x", grpc.StatusCode.UNIMPLEMENTED, id="compressed"),
        pytest.param(b"\0\0\0\0\x09x", grpc.StatusCode.INTERNAL, id="cut off"),
    ],
)
def test_what_cannot_be_framed_ends_the_stream_with_a_status(
    server: RunningServer, data: bytes, code: grpc.StatusCode
) -> None:
    """Only the framing itself can end a stream: in trailers, after the headers; other streams go on."""
    with raw(server.target) as client:
        broken, other = client.open_rank_stream(), client.open_rank_stream()
        client.put(broken, framed(ID_BYTES + RANK) + data, last=True)
        client.flush()
        trailers = client.read_to_end(broken)
        assert str(code.value[0]) == trailers["grpc-status"]
        assert [":status" in block for block in client.headers[broken]] == [True, False]
        client.put(other, framed(ID_BYTES + RANK), last=True)
        client.flush()
        assert "0" == client.read_to_end(other)["grpc-status"]
        assert Counter([ID]) == ids(client.responses(other))


def test_a_message_over_the_limit_ends_its_stream(caller: Caller) -> None:
    """gRPC has no other way: RESOURCE_EXHAUSTED without an ErrorInfo; the next stream is served."""
    with opened(caller) as stream:
        stream.send(bytes((8 << 20) + 1))
        refused = stream.end()
        assert refused is not None
        assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "") == (refused.code, refused.reason)
    with opened(caller) as stream:
        assert TINY.scores(EXAMPLE).tolist() == stream.send(BODY).ranked().scores.tolist()
