"""SIGTERM: health first, then the door, then what was accepted; a second one means now."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from podium.v1 import ranking_pb2 as pb
from tests.e2e.calls import Pending, Ranked, Refused, dial
from tests.e2e.running import RunningServer, Start
from tests.e2e.scripted import RANKER, STUCK_MS, is_running, stalled
from tests.e2e.streams import DOORS, Door, Stream, StreamMessage, knock, opened

Ask = Callable[[pb.RankRequest], Pending]
EXAMPLE = RANKER.example(10)
MESSAGE = RANKER.message(EXAMPLE)

SLOW_ENGINE = [
    "--engine=fake",
    "--set=engine.fake.overhead_ms=5",
    "--set=engine.fake.row_us=200",
    "--set=engine.warm_up_s_max=0.05",
]
"""10 candidates take 2 ms and share a run's 5 ms with up to 50 others: about 450 requests/s."""
RATE_PER_S = 360
LAME_DUCK_S = 0.3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    RANKER.write(folder)
    return folder


class Load(ABC):
    """An open loop at RATE_PER_S: sends whether or not answers come, and remembers when they did."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.sent: list[tuple[float, Pending]] = []

    def run(self, load_s: float) -> float:
        """Load for a while, SIGTERM, and go on until the server has gone; return when the signal was sent."""
        signalled_s = float("inf")
        began_s = time.monotonic()
        with ExitStack() as stack:
            askers = [self.asker(self._server.target, stack) for _ in range(2)]
            while self._server.process.poll() is None:
                now_s = time.monotonic()
                if now_s - began_s > load_s and signalled_s == float("inf"):
                    signalled_s = now_s
                    self._server.signal()
                self.sent.append((now_s, askers[len(self.sent) % 2](MESSAGE)))
                time.sleep(max(began_s + len(self.sent) / RATE_PER_S - time.monotonic(), 0.0))
            for _, pending in self.sent:
                pending.answer()
        return signalled_s

    @abstractmethod
    def asker(self, target: str, stack: ExitStack) -> Ask:
        """A client."""


class UnaryLoad(Load):
    """Through Rank."""

    def asker(self, target: str, stack: ExitStack) -> Ask:
        return stack.enter_context(dial(target)).send


class StreamLoad(Load):
    """Through RankStream."""

    def asker(self, target: str, stack: ExitStack) -> Ask:
        return Mover(target, stack).send


class Mover:
    """Asks on one stream; when it reads `draining` it opens another, and ends the first once it is empty."""

    def __init__(self, target: str, stack: ExitStack) -> None:
        self._target = target
        self._stack = stack
        self._left: list[tuple[Stream, list[StreamMessage]]] = []
        self._open()

    def send(self, request: pb.RankRequest) -> StreamMessage:
        """Ask."""
        told = self._stream.notices
        # The next one is told in its first message where nobody else is: better a lame duck than none.
        if self._stream.over or (len(told) > 1 and told[-1].draining):
            self._left.append((self._stream, self._asked))
            self._open()
        for stream, asked in self._left[:]:
            if all(message.answered for message in asked):
                stream.half_close()
                self._left.remove((stream, asked))
        self._asked.append(self._stream.send(request))
        return self._asked[-1]

    def _open(self) -> None:
        self._asked: list[StreamMessage] = []
        caller = self._stack.enter_context(dial(self._target))
        self._stream = self._stack.enter_context(opened(caller))


LOADS: dict[Door, type[Load]] = {"unary": UnaryLoad, "stream": StreamLoad}
AT_THE_DOOR = {("", grpc.StatusCode.UNAVAILABLE)}
"""Nobody listens any more; no word of Podium's."""
CLOSING = {("SHUTTING_DOWN", grpc.StatusCode.UNAVAILABLE)}


@pytest.mark.parametrize("round_", range(8))
@pytest.mark.parametrize("door", DOORS)
def test_sigterm_under_load_loses_nothing(models: Path, start: Start, door: Door, round_: int) -> None:
    """Accepted is answered: both sides count the same scores, and the same refusals of what came too late.

    Nobody is turned away before the lame duck is over: when a refusal came tells, not when its request was
    made, for a slow client's bytes may wait that long. A stream that ends under a request says UNAVAILABLE:
    the request was not accepted.
    """
    server = start(models, *SLOW_ENGINE, "--set", f"drain.lame_duck_s={LAME_DUCK_S}")
    load = LOADS[door](server)
    signalled_s = load.run(load_s=0.2 + 0.02 * round_)
    assert 0 == server.wait()
    answers = [(pending.answer(), sent_s, pending.ended_s) for sent_s, pending in load.sent]
    refused = [(answer, ended_s) for answer, _, ended_s in answers if isinstance(answer, Refused)]
    scored = [sent_s for answer, sent_s, _ in answers if isinstance(answer, Ranked)]
    assert {(answer.reason, answer.code) for answer, _ in refused} <= AT_THE_DOOR | CLOSING
    assert [] == [answer for answer, ended_s in refused if ended_s < signalled_s + LAME_DUCK_S]
    counted = server.logged("stopped")["requests"]
    assert {"scored"} <= counted.keys() <= {"scored", "unready"}
    assert len(scored) == counted["scored"]
    assert scored[0] < signalled_s < scored[-1]
    said = [pending for _, pending in load.sent if pending.in_band and isinstance(pending.answer(), Refused)]
    assert len(said) == counted.get("unready", 0)


def test_health_says_so_before_the_door_closes(models: Path, start: Start) -> None:
    """In the lame duck health and /readyz say no, and requests are still answered."""
    server = start(models, "--set", "drain.lame_duck_s=1.5")
    with dial(server.target) as caller:
        health = health_pb2_grpc.HealthStub(caller.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=20)
        assert health_pb2.HealthCheckResponse.SERVING == next(watch).status
        server.signal()
        assert health_pb2.HealthCheckResponse.NOT_SERVING == next(watch).status
        watch.cancel()
        assert (503, "draining\n") == server.get("/readyz")
        assert RANKER.scores(EXAMPLE).tolist() == caller.send(MESSAGE).ranked().scores.tolist()
    assert 0 == server.wait()


@pytest.mark.parametrize("door", DOORS)
def test_a_run_under_way_is_finished(models: Path, start: Start, door: Door) -> None:
    """A request whose run began before the signal gets its scores."""
    server = stalled(start, models, 300)
    with knock(server.target, door) as asker:
        pending = asker.send(MESSAGE)
        server.wait_for(is_running)
        server.signal()
        assert isinstance(pending.answer(), Ranked)
        assert 0 == server.wait()
    assert {"scored": 1} == server.logged("stopped")["requests"]


@pytest.mark.parametrize("door", DOORS)
def test_a_drain_has_an_end(models: Path, start: Start, door: Door) -> None:
    """Past drain.finish_s_max the server leaves, cleanly, whatever still runs."""
    server = stalled(start, models, STUCK_MS, "--set=drain.finish_s_max=0.2")
    with knock(server.target, door) as asker:
        pending = asker.send(MESSAGE)
        server.wait_for(is_running)
        server.signal()
        refused = pending.refused()
        assert (grpc.StatusCode.UNAVAILABLE, "") == (refused.code, refused.reason)
        assert 0 == server.wait()
    assert {"cancelled": 1} == server.logged("stopped")["requests"]


def test_a_stream_is_told_and_served_until_it_moves(models: Path, start: Start) -> None:
    """In the lame duck it reads `draining`, and a new one reads it first; both answer, and end OK if left."""
    server = start(models, "--set=drain.lame_duck_s=1.5")
    draining = pb.Notice(in_flight_max=1024, draining=True)
    with dial(server.target) as caller, opened(caller) as old:
        old.wait_for(lambda: 1 == len(old.notices))
        server.signal()
        old.wait_for(lambda: 2 == len(old.notices))
        with opened(caller) as new:
            new.wait_for(lambda: bool(new.notices))
            assert [False, True, True] == [notice.draining for notice in [*old.notices, *new.notices]]
            assert draining == new.notices[0]
            for stream in (old, new):
                assert RANKER.scores(EXAMPLE).tolist() == stream.send(MESSAGE).ranked().scores.tolist()
                stream.finish()
        assert server.process.poll() is None
        assert 0 == server.wait()


def test_an_idle_stream_does_not_keep_a_server(models: Path, start: Start) -> None:
    """It ends SHUTTING_DOWN when the lame duck is over, long before drain.finish_s_max."""
    server = start(models, "--set=drain.finish_s_max=1000")
    with dial(server.target) as caller, opened(caller) as stream:
        assert RANKER.scores(EXAMPLE).tolist() == stream.send(MESSAGE).ranked().scores.tolist()
        server.signal()
        refused = stream.end()
        assert refused is not None
        assert (grpc.StatusCode.UNAVAILABLE, "unready", "SHUTTING_DOWN", 0.0) == (
            refused.code,
            refused.kind,
            refused.reason,
            refused.retry_after_s,
        )
        assert 0 == server.wait()


def test_what_comes_too_late_is_refused_and_delays_nothing(models: Path, start: Start) -> None:
    """During the last run its stream refuses the rest SHUTTING_DOWN, and ends with the last answer."""
    server = stalled(start, models, 600)
    with dial(server.target) as caller, opened(caller) as stream:
        accepted = stream.send(MESSAGE)
        server.wait_for(is_running)
        server.signal()
        stream.wait_for(lambda: 2 == len(stream.notices))
        late = stream.send(MESSAGE)
        refused = late.refused()
        assert (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", True) == (
            refused.code,
            refused.reason,
            late.in_band,
        )
        assert not accepted.answered
        accepted.ranked()
        ended = stream.end()
        assert ended is not None
        assert (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN") == (ended.code, ended.reason)
        assert 0 == server.wait()
    assert {"scored": 1, "unready": 1} == server.logged("stopped")["requests"]


def test_a_second_signal_means_now(models: Path, start: Start) -> None:
    """While a run is stuck, the second SIGTERM ends the process at once, with SIGTERM's exit code."""
    server = stalled(start, models, STUCK_MS)
    with dial(server.target) as caller:
        pending = caller.send(MESSAGE)
        server.wait_for(is_running)
        server.signal()
        server.wait_for(lambda scrape: server.get("/readyz")[1] == "draining\n")
        server.signal(signal.SIGTERM)
        assert 143 == server.wait()
        assert isinstance(pending.answer(), Refused)
    assert 1 == server.logged("stopped at once")["in_flight"]


def test_interrupt_is_a_clean_stop_too(models: Path, start: Start) -> None:
    """Ctrl-C drains like SIGTERM."""
    server = start(models)
    server.signal(signal.SIGINT)
    assert 0 == server.wait()
