"""/metrics of a real server, after a load with refusals, beside the table of docs/metrics.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.errors import RULES, Kind, Reason
from server.metrics import LATENCY_MS
from tests.bundles.tiny import TinyRanker
from tests.contract.metrics_table import documented
from tests.e2e.calls import Ranked, dial
from tests.e2e.running import Scrape, Start
from tests.e2e.scripted import RANKER, fake

BUDGET_MS = 500.3
SLOW = [f"--set=models.tiny.budget_ms={BUDGET_MS}", "--set=batch.requests_max=1"]
"""300 at once are six seconds of work."""
SECRET = "a-private-name"
QUIET = {"podium_tokens", "podium_tokens_computed"}
"""They need a ranker whose candidates have lengths (`test_lengths`)."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    RANKER.write(folder)
    return folder


@pytest.fixture
def loaded(models: Path, start: Start) -> Scrape:
    """After answers, a burst that is refused, an unknown model, a bad request."""
    server = fake(start, models, *SLOW, overhead_ms="20")
    message = RANKER.message(RANKER.example(20))
    with dial(server.target) as caller:
        caller.send(message).ranked()
        answers = [call.answer() for call in caller.send_all([message] * 300)]
        caller.send(TinyRanker(name=SECRET).message(RANKER.example(3))).refused()
        message.request_id = SECRET * 10
        caller.send(message).refused()
    assert {True, False} == {isinstance(answer, Ranked) for answer in answers}
    return server.metrics()


def test_the_table_is_what_a_server_publishes(loaded: Scrape) -> None:
    """Same names, types and labels; each has a series once there was activity."""
    table = documented()
    assert set(table) == set(loaded.families)
    for name, metric in table.items():
        family = loaded.families[name]
        assert metric.kind == family.type, name
        found = [set(sample.labels) - {"le"} for sample in family.samples]
        assert found or name in QUIET, name
        assert all(metric.labels == entry for entry in found), name
        if metric.unit in ("seconds", "ratio"):
            assert name.endswith(f"_{metric.unit}"), name


def test_labels_are_a_closed_set(loaded: Scrape) -> None:
    """A caller's words never become a label: each value is a loaded name or one of ours."""
    allowed = {
        "model": {"tiny", "unknown"},
        "version": {"1", ""},
        "variant": {"fp32"},
        "state": {"serving", "refused"},
        "refused_by": {"", "golden", "other"},
        "outcome": {"scored", "invalid", *(kind.value for kind in Kind)},
        "kind": {kind.value for kind in Kind},
        "reason": {reason.value for reason in Reason},
        "importance": {"critical", "default", "sheddable"},
        "cause": {"late", "expired", "failed"},
        "step": {"full"},
        "answer": {"scored"},
        "stage": {"decode", "queue", "form", "run", "reply"},
        "executor": {"0"},
    }
    for family in loaded.families.values():
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label == "le" or value in allowed[label], (sample.name, label, value)


def test_every_reason_has_its_kind(loaded: Scrape) -> None:
    """The refusals of a loaded model name each reason once, with the kind of the table of errors."""
    series = [
        (sample.labels["reason"], sample.labels["kind"])
        for sample in loaded.families["podium_refusals"].samples
        if sample.labels["model"] == "tiny"
    ]
    assert {reason.value: RULES[reason].kind.value for reason in Reason} == dict(series)
    assert len(Reason) == len(series)


def test_the_budget_is_a_bucket_of_every_duration(loaded: Scrape) -> None:
    """All durations share one ladder, in seconds, with the configured budget on it."""
    expected = {*(ms / 1e3 for ms in LATENCY_MS), BUDGET_MS / 1e3, float("inf")}
    for name, family in loaded.families.items():
        if family.type == "histogram" and name.endswith("_seconds"):
            bounds = {float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels}
            assert bounds in (expected, set()), name


def test_the_numbers_agree_with_one_another(loaded: Scrape) -> None:
    """Every request is counted once, whatever one adds up."""
    scored = loaded.total("podium_requests_total", outcome="scored")
    assert 303 == loaded.total("podium_requests_total")
    assert 303 == scored + loaded.total("podium_refusals_total")
    assert 20 * scored == loaded.total("podium_candidates_total", outcome="scored")
    assert scored == loaded.total("podium_request_duration_seconds_count")
    assert scored == loaded.total("podium_slack_seconds_count") + loaded.total("podium_late_seconds_count")
    assert scored == loaded.total("podium_batch_requests_sum")
    assert 20 * scored == loaded.total("podium_batch_rows_sum")
    assert 5 * scored == loaded.total("podium_stage_duration_seconds_count")
    runs = loaded.total("podium_batch_rows_count")
    assert runs == loaded.total("podium_padding_ratio_count")
    assert loaded.total("podium_executor_busy_seconds_total") >= 0.02 * runs
    assert 1 == loaded.total("podium_refusals_total", model="unknown", reason="MODEL_NOT_FOUND")
    assert loaded.total("podium_refusals_total", reason="OVERLOADED") > 0


def test_the_budget_is_the_configured_one(loaded: Scrape) -> None:
    """One per importance class, in seconds; the configuration wins over the bundle's 2 s."""
    budgets_s = {
        sample.labels["importance"]: sample.value
        for sample in loaded.families["podium_budget_seconds"].samples
    }
    assert dict.fromkeys(("critical", "default", "sheddable"), BUDGET_MS / 1e3) == budgets_s
