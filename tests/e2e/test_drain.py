"""SIGTERM: health first, then the door, then what was accepted; a second one means now."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.bundles.tiny import TinyRanker
from tests.e2e.calls import Pending, Ranked, Refused, dial
from tests.e2e.running import RunningServer, Start

RANKER = TinyRanker(variants=("fp32",))
"""One variant: the fake engine's warm-up, at its scripted speed, is paid once."""
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


class Load:
    """An open loop at RATE_PER_S: sends whether or not answers come, and remembers when they did."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.sent: list[tuple[float, Pending]] = []

    def run(self, load_s: float) -> float:
        """Load for a while, SIGTERM, and go on until the server has gone; return when the signal was sent."""
        signalled_s = float("inf")
        began_s = time.monotonic()
        with dial(self._server.target) as one, dial(self._server.target) as two:
            while self._server.process.poll() is None:
                now_s = time.monotonic()
                if now_s - began_s > load_s and signalled_s == float("inf"):
                    signalled_s = now_s
                    self._server.signal()
                self.sent.append((now_s, (one, two)[len(self.sent) % 2].send(MESSAGE)))
                time.sleep(max(began_s + len(self.sent) / RATE_PER_S - time.monotonic(), 0.0))
            for _, pending in self.sent:
                pending.answer()
        return signalled_s


@pytest.mark.parametrize("round_", range(20))
def test_sigterm_under_load_loses_nothing(models: Path, start: Start, round_: int) -> None:
    """Accepted is answered: both sides count the same scores, and nothing else was let in and not scored.

    Nobody is turned away before the lame duck is over: when a refusal came tells, not when its call was made,
    for a slow client's bytes may wait that long. After it gRPC turns away whoever has not heard the GOAWAY
    yet, with UNAVAILABLE or (grpc/grpc#41785) CANCELLED: so the lame duck must be long enough.
    """
    server = start(models, *SLOW_ENGINE, "--set", f"drain.lame_duck_s={LAME_DUCK_S}")
    load = Load(server)
    signalled_s = load.run(load_s=0.2 + 0.01 * round_)
    assert 0 == server.wait()
    answers = [(pending.answer(), sent_s, pending.ended_s) for sent_s, pending in load.sent]
    refused = [(answer, ended_s) for answer, _, ended_s in answers if isinstance(answer, Refused)]
    scored = [sent_s for answer, sent_s, _ in answers if isinstance(answer, Ranked)]
    at_the_door = {("", grpc.StatusCode.UNAVAILABLE), ("", grpc.StatusCode.CANCELLED)}
    closing = {("SHUTTING_DOWN", grpc.StatusCode.UNAVAILABLE)}
    assert set() == {(answer.reason, answer.code) for answer, _ in refused} - at_the_door - closing
    assert [] == [answer for answer, ended_s in refused if ended_s < signalled_s + LAME_DUCK_S]
    counted = server.logged("stopped")["requests"]
    assert {"scored"} <= counted.keys() <= {"scored", "unready"}
    assert len(scored) == counted["scored"]
    assert scored[0] < signalled_s < scored[-1]


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


def stalled(models: Path, start: Start, stall_ms: int, *arguments: str) -> RunningServer:
    """A server whose first run takes so much longer."""
    return start(models, "--engine", "fake", "--set", f"engine.fake.stall_runs.0={stall_ms}", *arguments)


def test_a_run_under_way_is_finished(models: Path, start: Start) -> None:
    """A request whose run began before the signal gets its scores."""
    server = stalled(models, start, 300)
    with dial(server.target) as caller:
        pending = caller.send(MESSAGE)
        server.wait_for(lambda scrape: scrape.total("podium_in_flight") == 1)
        server.signal()
        assert isinstance(pending.answer(), Ranked)
    assert 0 == server.wait()
    assert {"scored": 1} == server.logged("stopped")["requests"]


def test_a_drain_has_an_end(models: Path, start: Start) -> None:
    """Past drain.finish_s_max the server leaves, cleanly, whatever still runs."""
    server = stalled(models, start, 15_000, "--set", "drain.finish_s_max=0.2")
    with dial(server.target) as caller:
        pending = caller.send(MESSAGE)
        server.wait_for(lambda scrape: scrape.total("podium_in_flight") == 1)
        server.signal()
        assert isinstance(pending.answer(), Refused)
        assert 0 == server.wait()
    assert {"cancelled": 1} == server.logged("stopped")["requests"]


def test_a_second_signal_means_now(models: Path, start: Start) -> None:
    """While a run is stuck, the second SIGTERM ends the process at once, with SIGTERM's exit code."""
    server = stalled(models, start, 15_000)
    with dial(server.target) as caller:
        pending = caller.send(MESSAGE)
        server.wait_for(lambda scrape: scrape.total("podium_in_flight") == 1)
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
