"""Accumulators become families that Prometheus can read, and count nothing twice."""

from __future__ import annotations

import gc
from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from server.core.decisions import Snapshot
from server.errors import Kind, Reason
from server.metrics import Counter, Histogram, Metrics

BOUNDS = (0.1, 0.5, 1.0, 5.0)


def scrape(metrics: Metrics) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Sample name -> (labels, value) of every series, through Prometheus' text and back."""
    registry = CollectorRegistry()
    registry.register(metrics)
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


@given(values=st.lists(st.floats(0, 10) | st.sampled_from(BOUNDS), max_size=50))
def test_buckets_are_cumulative_and_exact(values: list[float]) -> None:
    """Bucket `le` counts the values <= le, a value on a bound among them; +Inf counts all."""
    histogram = Histogram("h", "text", ["model"], BOUNDS)
    for value in values:
        histogram.observe(value, "a")
    samples = histogram.family().samples
    buckets = {s.labels["le"]: s.value for s in samples if s.name == "h_bucket"}
    expected = {str(bound): sum(value <= bound for value in values) for bound in BOUNDS}
    assert buckets == ({**expected, "+Inf": len(values)} if values else {})
    assert all(low <= high for low, high in pairwise(buckets.values()))
    assert [len(values)] * bool(values) == [s.value for s in samples if s.name == "h_count"]
    assert [pytest.approx(sum(values))] * bool(values) == [s.value for s in samples if s.name == "h_sum"]


def test_counters_add_up_by_label() -> None:
    """Each set of labels has a sum of its own."""
    counter = Counter("c", "text", ["model", "kind"])
    counter.add("a", "x")
    counter.add("a", "x", amount=2.0)
    counter.add("b", "x", amount=0.0)
    assert [({"model": "a", "kind": "x"}, 3.0), ({"model": "b", "kind": "x"}, 0.0)] == [
        (sample.labels, sample.value) for sample in counter.family().samples
    ]


def test_the_ladder_holds_every_budget() -> None:
    """A configured budget is a bucket bound, so that "within budget" is exact; the rest is shared by all."""
    metrics = Metrics(["tiny"], [0.0333, 0.025])
    assert 0.0333 in metrics.request_duration.bounds
    assert 0.025 in metrics.request_duration.bounds
    bounds = metrics.request_duration.bounds
    assert bounds == metrics.refusal_duration.bounds == metrics.slack.bounds == metrics.late.bounds
    assert bounds.index(0.025) == bisect_left(bounds, 0.025)


def test_rates_exist_before_the_first_failure() -> None:
    """Every reason of every model, and every kind, has a series at 0."""
    samples = scrape(Metrics(["a", "b"], []))
    refusals = samples["podium_refusals_total"]
    assert {(model, reason.value, 0.0) for model in ("a", "b") for reason in Reason} == {
        (labels["model"], labels["reason"], value) for labels, value in refusals
    }
    kinds = samples["podium_refusal_duration_seconds_count"]
    assert {(kind.value, 0.0) for kind in Kind} == {(labels["kind"], value) for labels, value in kinds}


def test_a_version_that_serves_has_all_its_rates() -> None:
    """Its requests by outcome, answers and goodput begin at 0: a share of the first burst is true, too."""
    metrics = Metrics(["a"], [])
    metrics.begin("a", "3")
    samples = scrape(metrics)
    outcomes = {labels["outcome"]: value for labels, value in samples["podium_requests_total"]}
    assert dict.fromkeys(["scored", *(kind.value for kind in Kind)], 0.0) == outcomes
    for name in ("request_duration_seconds_count", "slack_seconds_count", "late_seconds_count", "step_total"):
        assert [0.0] == [value for _, value in samples[f"podium_{name}"]]
    assert {} == metrics.outcomes()


def test_gauges_are_read_from_their_owners() -> None:
    """What a scrape says is what the owner says at that moment."""
    metrics = Metrics([], [])
    snapshots = iter([Snapshot(3, 30, 5_000_000, 1), Snapshot(0, 0, 0, 0)])
    metrics.pull(lambda: next(snapshots), lambda: 7, lambda: [("tiny", "1", "int8", "serving")])
    names = ("podium_queue_depth", "podium_planned_work_seconds", "podium_in_flight")
    readings = []
    for _ in range(2):
        families = {family.name: family for family in metrics.collect()}
        readings.append([sample.value for name in names for sample in families[name].samples])
    assert [[3.0, 0.005, 7.0], [0.0, 0.0, 7.0]] == readings


def test_every_variant_has_its_state() -> None:
    """model_info is 1 per known variant, with its state."""
    metrics = Metrics([], [])
    metrics.pull(lambda: Snapshot(0, 0, 0, 0), int, lambda: [("tiny", "2", "int8", "refused")])
    expected = {"model": "tiny", "version": "2", "variant": "int8", "state": "refused"}
    assert [(expected, 1.0)] == scrape(metrics)["podium_model_info"]


def test_budgets_are_published() -> None:
    """Rules and dashboards read from the server what its p99 is held against."""
    metrics = Metrics([], [])
    budgets_s = {("tiny", "critical"): 0.01, ("tiny", "default"): 0.025}
    metrics.pull(lambda: Snapshot(0, 0, 0, 0), int, list, budgets_s=lambda: budgets_s)
    assert budgets_s == {
        (labels["model"], labels["importance"]): value
        for labels, value in scrape(metrics)["podium_budget_seconds"]
    }


def test_outcomes_add_up_over_models_and_versions() -> None:
    """What the last log line says is what the counters hold."""
    metrics = Metrics(["a", "b"], [])
    metrics.requests.add("a", "1", "scored")
    metrics.requests.add("b", "2", "scored")
    metrics.requests.add("b", "2", "invalid")
    assert {"scored": 2, "invalid": 1} == metrics.outcomes()


def test_collections_of_garbage_are_timed() -> None:
    """Each collection of the interpreter is one observation."""
    metrics = Metrics([], [])
    hooks = len(gc.callbacks)
    metrics.watch_gc()
    try:
        gc.collect()
    finally:
        del gc.callbacks[hooks:]
    assert 1 == sum(metrics.gc_pause.counts[()])
