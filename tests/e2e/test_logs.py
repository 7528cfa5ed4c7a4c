"""What a real server logs under a load with refusals: little, complete, nothing private."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bundles.tiny import TinyRanker
from tests.e2e.calls import dial
from tests.e2e.running import RunningServer, Scrape, Start
from tests.e2e.scripted import fake

PRIVATE = TinyRanker(name="private", key="string", variants=("fp32",), budget_ms=500)
SLOW = ["--set=batch.requests_max=1"]
"""300 at once are six seconds of work."""
ODD_PRICE = 0.34375
"""A feature that no other number of a log looks like."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    PRIVATE.write(folder)
    return folder


def load(server: RunningServer) -> Scrape:
    """Answers, refusals for want of room, bad requests, a model that is not there; then the counters."""
    example = PRIVATE.example(20)
    example.price[:] = ODD_PRICE
    message = PRIVATE.message(example)
    message.request_id = "trace-7\nforged"
    with dial(server.target) as caller:
        caller.send(message).ranked()
        for call in caller.send_all([message] * 300):
            call.answer()
        message.model = "secret-model"
        caller.send(message).refused()
        message.model = "private"
        message.candidates.count = 19
        for call in caller.send_all([message] * 40):
            call.refused()
    return server.metrics()


def test_few_lines_tell_of_every_request(models: Path, start: Start) -> None:
    """Per reason the counts add up to the metric; one line each, one more per second and at the end."""
    server = fake(start, models, *SLOW, overhead_ms="20")
    scrape = load(server)
    server.stop()
    refused = [line for line in server.logs() if line["event"] == "refused"]
    totals: dict[str, float] = {}
    for sample in scrape.families["podium_refusals"].samples:
        if sample.value:
            reason = sample.labels["reason"]
            totals[reason] = totals.get(reason, 0) + sample.value
    told = {
        reason: sum(line["count"] for line in refused if line["reason"] == reason)
        for reason in {line["reason"] for line in refused}
    }
    assert totals == told
    assert {"OVERLOADED", "MODEL_NOT_FOUND"} <= set(told)
    assert len(refused) < sum(told.values()) / 4
    assert all("request_id" in line for line in refused if line["count"] == 1)


def test_answers_are_sampled_at_the_configured_rate(models: Path, start: Start) -> None:
    """All with a huge rate, each with its request_id and times; none with 0."""
    every = fake(start, models, "--set=logs.access_per_s=1e9", *SLOW, overhead_ms="20")
    scrape = load(every)
    none = fake(start, models, "--set=logs.access_per_s=0", *SLOW, overhead_ms="20")
    load(none)
    lines = [line for line in every.logs() if line["event"] == "answered"]
    assert scrape.total("podium_requests_total", outcome="scored") == sum(at["stands_for"] for at in lines)
    assert {r"trace-7\nforged"} == {line["request_id"] for line in lines}
    assert all(0 < line["run_us"] <= line["total_us"] for line in lines)
    assert {("private", 1, "fp32", 20)} == {
        (line["model"], line["version"], line["variant"], line["rows"]) for line in lines
    }
    assert not [line for line in none.logs() if line["event"] == "answered"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_nothing_private_is_written(models: Path, start: Start, form: str) -> None:
    """No id, feature or unknown model's name, in either form; a request_id cannot begin a line of its own."""
    settings = ["--set=logs.access_per_s=1e9", f"--set=logs.format={form}", "--set=logs.level=debug"]
    server = fake(start, models, *settings, *SLOW, overhead_ms="20")
    load(server)
    server.stop()
    text = server.errors.read_text()
    assert "answered" in text
    assert "trace-7" in text
    for word in ("item-", str(ODD_PRICE), "secret-model", "\nforged"):
        assert word not in text
