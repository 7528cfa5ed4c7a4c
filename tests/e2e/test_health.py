"""What a server says about itself: health, reflection, operations pages, and metrics that add up."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from server.errors import RULES, Reason
from tests.bundles.tiny import STRICT, TINY
from tests.e2e.calls import CALL_S_MAX, Caller, dial
from tests.e2e.running import RunningServer, Start

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

FAMILIES = {
    "podium_requests": "counter",
    "podium_refusals": "counter",
    "podium_budget_requests": "counter",
    "podium_budget_violations": "counter",
    "podium_request_duration_seconds": "histogram",
    "podium_refusal_duration_seconds": "histogram",
    "podium_stage_duration_seconds": "histogram",
    "podium_batch_rows": "histogram",
    "podium_batch_requests": "histogram",
    "podium_run_prediction_ratio": "histogram",
    "podium_slack_seconds": "histogram",
    "podium_late_seconds": "histogram",
    "podium_step": "counter",
    "podium_candidates": "counter",
    "podium_padding_ratio": "histogram",
    "podium_tokens": "counter",
    "podium_tokens_computed": "counter",
    "podium_queue_depth": "gauge",
    "podium_executors_stuck": "gauge",
    "podium_probes": "counter",
    "podium_planned_work_seconds": "gauge",
    "podium_in_flight": "gauge",
    "podium_executor_busy_seconds": "counter",
    "podium_loop_lag_seconds": "histogram",
    "podium_gc_pause_seconds": "histogram",
    "podium_model_info": "gauge",
    "podium_budget_seconds": "gauge",
}
"""Public names: dashboards and alerts rely on them."""


def health(caller: Caller, service: str) -> int:
    """The status of one health name."""
    stub = health_pb2_grpc.HealthStub(caller.channel)
    status: int = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_S_MAX).status
    return status


@pytest.mark.parametrize(
    "name",
    ["", "podium.v1.Ranker", "model/tiny", "model/strict", "model/words"],
    ids=lambda name: name or "''",
)
def test_a_ready_server_is_healthy_under_every_name(caller: Caller, name: str) -> None:
    """The server, its service and each model are SERVING."""
    assert SERVING == health(caller, name)


def test_an_unknown_health_name_is_not_found(caller: Caller) -> None:
    """As the health protocol asks."""
    with pytest.raises(grpc.RpcError) as caught:
        health(caller, "model/other")
    assert grpc.StatusCode.NOT_FOUND == caught.value.code()


def test_health_tells_models_apart(tmp_path: Path, start: Start) -> None:
    """A required model that does not serve makes itself and the server unhealthy, not the other model."""
    STRICT.write(tmp_path / "models")
    (TINY.write(tmp_path / "models") / "bundle.json").write_text("{}")
    server = start(tmp_path / "models")
    with dial(server.target) as caller:
        names = ("", "podium.v1.Ranker", "model/tiny", "model/strict")
        assert [NOT_SERVING] * 3 + [SERVING] == [health(caller, name) for name in names]


def test_reflection_lists_the_services(caller: Caller) -> None:
    """grpcurl and its kin can find Ranker, health and reflection, and read the contract's messages."""
    database = ProtoReflectionDescriptorDatabase(caller.channel)
    assert {
        "podium.v1.Ranker",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    } == set(database.get_services())
    file = database.FindFileContainingSymbol("podium.v1.RankRequest")
    assert "podium/v1/ranking.proto" == file.name


def test_the_operations_pages(server: RunningServer) -> None:
    """/livez and /readyz answer for probes; an unknown page says which there are."""
    assert (200, "ok\n") == server.get("/livez")
    assert (200, "ready\n") == server.get("/readyz")
    assert (404, "try /, /metrics, /livez, /readyz or /status.json\n") == server.get("/other")


def test_metrics_have_their_public_names_and_types(server: RunningServer) -> None:
    """Every family parses, and none is renamed, retyped, missing or extra."""
    families = server.metrics().families
    assert FAMILIES == {name: family.type for name, family in families.items()}


def test_every_refusal_has_a_series_before_the_first_one(server: RunningServer) -> None:
    """A rate can be taken of a reason that has never occurred."""
    family = server.metrics().families["podium_refusals"]
    series = {(s.labels["kind"], s.labels["reason"]) for s in family.samples if s.labels["model"] == "tiny"}
    assert {(RULES[reason].kind.value, reason.value) for reason in Reason} == series


def test_the_metrics_account_for_every_request(tmp_path: Path, start: Start) -> None:
    """Sent = scored + refused, by model; candidates, steps, runs and durations add up to the same."""
    TINY.write(tmp_path / "models")
    server = start(tmp_path / "models")
    requests = [TINY.message(TINY.example(rows)) for rows in range(1, 34)]
    for at in range(10, 15):
        requests[at].candidates.columns.pop()
    for at in range(15, 18):
        requests[at].model = "other"
    for request in requests[30:]:
        request.timeout_us = 1
    with dial(server.target) as caller:
        for pending in caller.send_all([*requests, b"\xff"]):
            pending.answer()
    scrape = server.metrics()
    scored = [request.candidates.count for request in [*requests[:10], *requests[18:30]]]
    assert {
        "all": 34.0,
        "scored": float(len(scored)),
        "tiny invalid": 5.0,
        "unknown invalid": 4.0,
        "tiny expired": 3.0,
        "refusals": 12.0,
        "candidates": float(sum(scored)),
        "steps": float(len(scored)),
        "durations": float(len(scored)),
        "refusal durations": 12.0,
        "rows run": float(sum(scored)),
        "requests run": float(len(scored)),
        "admitted": float(len(scored)),
        "out of budget": 0.0,
        "in flight": 0.0,
        "queued": 0.0,
    } == {
        "all": scrape.total("podium_requests_total"),
        "scored": scrape.total("podium_requests_total", model="tiny", version="1", outcome="scored"),
        "tiny invalid": scrape.total("podium_requests_total", model="tiny", outcome="invalid"),
        "unknown invalid": scrape.total("podium_requests_total", model="unknown", outcome="invalid"),
        "tiny expired": scrape.total("podium_requests_total", model="tiny", outcome="expired"),
        "refusals": scrape.total("podium_refusals_total"),
        "candidates": scrape.total("podium_candidates_total", outcome="scored"),
        "steps": scrape.total("podium_step_total", step="full"),
        "durations": scrape.total("podium_request_duration_seconds_count", answer="scored"),
        "refusal durations": scrape.total("podium_refusal_duration_seconds_count"),
        "rows run": scrape.total("podium_batch_rows_sum"),
        "requests run": scrape.total("podium_batch_requests_sum"),
        "admitted": scrape.total("podium_budget_requests_total", model="tiny", importance="default"),
        "out of budget": scrape.total("podium_budget_violations_total"),
        "in flight": scrape.total("podium_in_flight"),
        "queued": scrape.total("podium_queue_depth"),
    }
