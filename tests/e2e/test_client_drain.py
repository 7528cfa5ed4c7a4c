"""SIGTERM under a client with stream=True: servers come and go, and its callers do not notice."""

from __future__ import annotations

import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from podium.client import Ranked, RankingRequest
from tests.bundles.tiny import TinyRanker
from tests.e2e.running import RunningServer, Start
from tests.e2e.streaming import Asker, Outcome, Via, awaited, blocking, ended
from tests.e2e.test_client import request_of

RANKER = TinyRanker(variants=("fp32",))
REQUEST: RankingRequest = request_of(RANKER.example(10), RANKER)
SLOW_ENGINE = [
    "--engine=fake",
    "--set=engine.fake.overhead_ms=5",
    "--set=engine.fake.row_us=100",
    "--set=engine.warm_up_s_max=0.05",
]
"""10 candidates take 1 ms and share a run's 5 ms: at 300/s several are always in flight."""
RATE_PER_S = 300


@pytest.fixture(params=[blocking, awaited], ids=["blocking", "asyncio"])
def via(request: pytest.FixtureRequest) -> Via:
    """Every test that takes it runs with either client."""
    function: Via = request.param
    return function


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    RANKER.write(folder)
    return folder


def load(client: Asker, load_s: float) -> list[Future[Outcome]]:
    """An open loop: sends whether or not answers come."""
    began_s = time.monotonic()
    calls: list[Future[Outcome]] = []
    while time.monotonic() < began_s + load_s:
        calls += client.begin(REQUEST)
        time.sleep(max(began_s + len(calls) / RATE_PER_S - time.monotonic(), 0.0))
    return calls


def scored(server: RunningServer) -> float:
    """Requests that this server has scored."""
    return server.metrics().total("podium_requests_total", outcome="scored")


@pytest.mark.parametrize("lame_duck_s", [0.0, 0.1, 0.3])
def test_one_of_two_servers_leaves_and_nothing_is_lost(
    models: Path, start: Start, via: Via, lame_duck_s: float
) -> None:
    """Every call is ranked, with and without a lame duck, and exactly once: both sides count the same."""
    duck = ("--set", f"drain.lame_duck_s={lame_duck_s}")
    leaving, staying = (start(models, *SLOW_ENGINE, *duck) for _ in range(2))
    with via(f"{leaving.target},{staying.target}") as client:
        calls = load(client, 0.3)
        leaving.signal()
        calls += load(client, 0.6 + lame_duck_s)
        outcomes = ended(calls)
    assert 0 == leaving.wait()

    assert [] == [outcome for outcome in outcomes if not isinstance(outcome, Ranked)]
    by_leaving = leaving.logged("stopped")["requests"]["scored"]
    assert by_leaving > 0
    assert len(calls) == by_leaving + scored(staying)


def test_servers_are_replaced_one_after_the_other(models: Path, start: Start, via: Via) -> None:
    """A rolling restart, each on its old port: the client comes back to both, and loses nothing."""
    duck = ("--set", "drain.lame_duck_s=0.2")
    servers = [start(models, *SLOW_ENGINE, *duck) for _ in range(2)]
    with via(",".join(server.target for server in servers)) as client:
        calls = load(client, 0.2)
        for at, old in enumerate(servers):
            old.signal()
            calls += load(client, 0.5)
            assert 0 == old.wait()
            port = old.target.rpartition(":")[2]
            servers[at] = start(models, *SLOW_ENGINE, *duck, "--port", port)
            ends_s = time.monotonic() + 10
            while not scored(servers[at]):
                calls += load(client, 0.05)
                assert time.monotonic() < ends_s, "the client never came back"
        outcomes = ended(calls)

    assert [] == [outcome for outcome in outcomes if not isinstance(outcome, Ranked)]


def test_a_lone_server_answers_until_it_leaves(models: Path, start: Start, via: Via) -> None:
    """In the lame duck a client without another server is still served; after it, refused at once."""
    server = start(models, *SLOW_ENGINE, "--set", "drain.lame_duck_s=1")
    with via(server.target) as client:
        before = ended(load(client, 0.2))
        server.signal()
        during = ended(load(client, 0.6))
        assert 0 == server.wait()
        (after,) = client.ask(REQUEST)

    assert [] == [outcome for outcome in before + during if not isinstance(outcome, Ranked)]
    assert not isinstance(after, Ranked)
    assert ("unready", "") == (after.kind, after.reason)
    assert f"No backend of {server.target} can be reached" in after.message
