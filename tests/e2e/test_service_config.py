"""docs/clients.md's service config in a plain grpcio channel: who is asked, and where retries go."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import grpc

from podium.v1 import ranking_pb2 as pb
from tests.bundles.tiny import TINY
from tests.e2e.calls import CALL_S_MAX
from tests.e2e.running import REPOSITORY, RunningServer, Start


def config() -> dict[str, Any]:
    """The JSON of the page."""
    page = (REPOSITORY / "docs" / "clients.md").read_text(encoding="utf-8")
    found = re.search(r"```json\n(.*?)```", page, flags=re.DOTALL)
    assert found is not None
    parsed: dict[str, Any] = json.loads(found[1])
    # A test's machine may be slower than a budget.
    parsed["methodConfig"][0]["timeout"] = f"{CALL_S_MAX}s"
    return parsed


def rank(channel: grpc.Channel) -> pb.RankResponse:
    """One request of TINY, without this library's help."""
    call = channel.unary_unary(
        "/podium.v1.Ranker/Rank",
        request_serializer=pb.RankRequest.SerializeToString,
        response_deserializer=pb.RankResponse.FromString,
    )
    answer: pb.RankResponse = call(TINY.message(TINY.example(4)), wait_for_ready=True, timeout=CALL_S_MAX)
    return answer


def dialled(targets: list[str]) -> grpc.Channel:
    """A channel to several servers under one name, with the page's config."""
    options = [
        ("grpc.service_config", json.dumps(config())),
        ("grpc.service_config_disable_resolution", 1),
    ]
    return grpc.insecure_channel(f"ipv4:{','.join(targets)}", options=options)


def test_a_plain_channel_takes_the_config(server: RunningServer) -> None:
    """It parses, and the request is answered in full."""
    with dialled([server.target]) as channel:
        assert 4 == len(rank(channel).order)


def test_health_keeps_calls_from_a_server_that_is_not_ready(tmp_path: Path, start: Start) -> None:
    """With one replica that has refused its model, every request is answered by the other."""
    (TINY.write(tmp_path / "broken") / "bundle.json").write_text("{}")
    TINY.write(tmp_path / "models")
    broken, ready = start(tmp_path / "broken"), start(tmp_path / "models")
    with dialled([broken.target, ready.target]) as channel:
        for _ in range(20):
            rank(channel)
    assert 0 == broken.metrics().total("podium_requests_total")
    assert 20 == ready.metrics().total("podium_requests_total", outcome="scored")


def test_a_refusal_that_asks_for_another_replica_is_repeated_there(tmp_path: Path, start: Start) -> None:
    """Without health checks, what the broken replica refuses (UNAVAILABLE) is answered by the other one."""
    (TINY.write(tmp_path / "broken") / "bundle.json").write_text("{}")
    TINY.write(tmp_path / "models")
    broken, ready = start(tmp_path / "broken"), start(tmp_path / "models")
    # Without its throttle either: what fails before both replicas are connected would use it up.
    left_out = ("healthCheckConfig", "retryThrottling")
    blind = {key: value for key, value in config().items() if key not in left_out}
    options = [("grpc.service_config", json.dumps(blind)), ("grpc.service_config_disable_resolution", 1)]
    with grpc.insecure_channel(f"ipv4:{broken.target},{ready.target}", options=options) as channel:
        # A channel begins with the replica that it reaches first; without the other there is no elsewhere.
        while not ready.metrics().total("podium_requests_total", outcome="scored"):
            with contextlib.suppress(grpc.RpcError):
                rank(channel)
        for _ in range(9):
            rank(channel)
    assert 10 == ready.metrics().total("podium_requests_total", outcome="scored")
    assert broken.metrics().total("podium_refusals_total") > 0
