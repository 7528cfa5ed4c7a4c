"""What the plan does to requests: split, displaced, refused before work, given up with a stuck run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest

from podium.v1 import ranking_pb2 as pb
from tests.bundles.tiny import TinyRanker
from tests.e2e.calls import Refused, dial
from tests.e2e.running import Start
from tests.e2e.scripted import RANKER, blocked, fake, fake_scores, stalled
from tests.e2e.streams import DOORS, Door, knock

SPLIT = replace(RANKER, chunkable=True)
SIZES = (1, 3, 40, 299, 300)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    SPLIT.write(folder)
    return folder


def message(
    rows: int, timeout_us: int = 0, importance: int = 0, ranker: TinyRanker = RANKER
) -> pb.RankRequest:
    """A request of so many candidates."""
    request = ranker.message(ranker.example(rows, seed=rows))
    request.timeout_us = timeout_us
    request.importance = importance  # type: ignore[assignment]
    return request


@pytest.mark.parametrize("door", DOORS)
def test_a_split_request_scores_as_a_whole_one(models: Path, start: Start, door: Door) -> None:
    """Cut into runs of some candidates, alone and in company, every score is what it was; so is the order."""
    requests = [message(rows) for rows in SIZES] * 4
    script = {"overhead_ms": "0.1", "row_us": "150"}
    with knock(fake(start, models, "--set=batch.chunk_ms_max=1000", **script).target, door) as asker:
        whole = [call.ranked() for call in asker.send_all(requests)]
    server = fake(start, models, "--set=batch.chunk_ms_max=15", **script)
    with knock(server.target, door) as asker:
        parts = [call.ranked() for call in asker.send_all(requests)]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        assert list(one.response.order) == list(other.response.order)
        assert one.response.coverage == other.response.coverage
    scrape = server.metrics()
    assert scrape.total("podium_batch_requests_sum") > len(requests)
    assert len(requests) == scrape.total("podium_requests_total", outcome="scored")


def test_a_failed_part_fails_its_request_and_no_other(models: Path, start: Start) -> None:
    """One part's run fails for good: the request is refused once, its other parts are given up."""
    server = fake(start, models, "--set=batch.chunk_ms_max=5", overhead_ms="1", row_us="100", fail_runs="[1]")
    with dial(server.target) as caller:
        refused = caller.send(message(300)).refused()
        after = caller.send(message(40)).ranked()
    assert ("failed", "EXECUTION_FAILED") == (refused.kind, refused.reason)
    np.testing.assert_array_equal(fake_scores(SPLIT.example(40, seed=40)), after.scores)
    scrape = server.wait_for(lambda scrape: 0 == scrape.total("podium_queue_depth"))
    assert 1 == scrape.total("podium_refusals_total", reason="EXECUTION_FAILED")
    assert 1 == scrape.total("podium_requests_total", outcome="scored")


@pytest.mark.parametrize("door", DOORS)
def test_a_more_important_request_displaces_a_less_important_one(
    models: Path, start: Start, door: Door
) -> None:
    """When all room is taken, a critical request gets that of a sheddable one, which is told at once."""
    server = fake(
        start, models, "--set=batch.requests_max=1", "--set=batch.chunk_ms_max=1000", overhead_ms="200"
    )
    sheddable = message(5, 900_000, pb.IMPORTANCE_SHEDDABLE)
    with knock(server.target, door) as asker:
        first = blocked(server, asker)
        *others, critical = asker.send_all([sheddable] * 8 + [message(7, 900_000, pb.IMPORTANCE_CRITICAL)])
        answers = [call.answer() for call in others]
        np.testing.assert_array_equal(fake_scores(SPLIT.example(7, seed=7)), critical.ranked().scores)
        first.ranked()
    refused = {answer.reason for answer in answers if isinstance(answer, Refused)}
    assert {"OVERLOADED", "DISPLACED"} == refused
    displaced = next(a for a in answers if isinstance(a, Refused) and a.reason == "DISPLACED")
    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded") == (displaced.code, displaced.kind)
    assert displaced.retry_after_s
    assert 0 == server.metrics().total("podium_budget_violations_total")


@pytest.mark.parametrize("door", DOORS)
def test_hopeless_is_told_apart_from_busy(models: Path, start: Start, door: Door) -> None:
    """What an idle server cannot do in time is DEADLINE_TOO_SHORT, for good; what a busy one cannot is
    OVERLOADED, with a wait."""
    server = fake(start, models, "--set=batch.requests_max=1", overhead_ms="100")
    with knock(server.target, door) as asker:
        hopeless = asker.send(message(5, 20_000)).refused()
        answers = [call.answer() for call in asker.send_all([message(5, 1_000_000)] * 30)]
    assert (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT", asker.never, None) == (
        hopeless.code,
        hopeless.reason,
        hopeless.pushback_ms,
        hopeless.retry_after_s,
    )
    busy = [answer for answer in answers if isinstance(answer, Refused)]
    assert {(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")} == {(no.code, no.reason) for no in busy}
    assert [] == [no for no in busy if not no.retry_after_s]


@pytest.mark.parametrize("door", DOORS)
def test_nobody_waits_for_a_stuck_run(models: Path, start: Start, door: Door) -> None:
    """Who is in a run that hangs is told EXECUTOR_LOST once the deadline has passed; the run is ended by
    force, and the next request is served, long before the run would have come back."""
    server = stalled(start, models, 60_000)
    with knock(server.target, door) as asker:
        refused = asker.send(message(3, 300_000)).refused()
        server.wait_for(lambda scrape: scrape.total("podium_executor_busy_seconds_total") > 0)
        after = asker.send(message(5)).ranked()
    assert (grpc.StatusCode.UNAVAILABLE, "failed", "EXECUTOR_LOST") == (
        refused.code,
        refused.kind,
        refused.reason,
    )
    np.testing.assert_array_equal(fake_scores(SPLIT.example(5, seed=5)), after.scores)
    assert "the run was ended by force" == server.logged("run failed")["error"]
    assert 1 == server.metrics().total("podium_budget_violations_total", cause="failed")


def test_the_baseline_is_a_queue(models: Path, start: Start) -> None:
    """policy = fifo: no deadline is looked at, the queue is bounded, and who waits too long is given up."""
    server = fake(
        start,
        models,
        "--set=admission.policy=fifo",
        "--set=admission.fifo.queue_max=3",
        "--set=admission.fifo.timeout_ms=300",
        **{"stall_runs.0": "1000"},
    )
    with dial(server.target) as caller:
        first = blocked(server, caller)
        waiting = caller.send_all([message(5, 1_000)] * 3)
        server.wait_for(lambda scrape: 3 == scrape.total("podium_queue_depth"))
        full = caller.send(message(5)).refused()
        assert {"EXPIRED_IN_QUEUE"} == {call.refused().reason for call in waiting}
        first.ranked()
    assert ("overloaded", "OVERLOADED") == (full.kind, full.reason)


def test_a_run_of_the_baseline_waits_for_company(models: Path, start: Start) -> None:
    """fifo.delay_ms: a request alone is answered all the same, once the delay is over."""
    server = fake(start, models, "--set=admission.policy=fifo", "--set=admission.fifo.delay_ms=100")
    with dial(server.target) as caller:
        ranked = caller.send(message(5)).ranked()
    assert ranked.response.timings.queue_us >= 99_000


def test_learned_costs_outlive_the_process(models: Path, start: Start, tmp_path: Path) -> None:
    """The second server over the same state_dir begins where the first one left off, and says so."""
    keep = f"--set=state_dir={tmp_path / 'state'}"
    first = start(models, keep)
    with dial(first.target) as caller:
        caller.send(message(40)).ranked()
    first.stop()
    assert "tiny" == start(models, keep).logged("learned costs resumed")["model"]
