"""When runs fail or stall: batch-mates are saved, who cannot be is told in time, and the server goes on."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from podium.v1 import ranking_pb2 as pb
from tests.bundles.tiny import Example
from tests.e2e.calls import Refused, dial
from tests.e2e.running import Start
from tests.e2e.scripted import RANKER, blocked, fake, fake_scores, stalled
from tests.e2e.streams import DOORS, Door, knock

STALL_MS = 400


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    RANKER.write(folder)
    return folder


@pytest.fixture
def examples() -> list[Example]:
    return [RANKER.example(rows, seed=rows) for rows in (1, 7, 20, 3, 12)]


def test_mates_of_a_failed_run_are_run_alone(models: Path, start: Start, examples: list[Example]) -> None:
    """Five requests share a run that fails: each is run again by itself and scored; no one is refused."""
    server = fake(start, models, **{"stall_runs.0": f"{STALL_MS}", "fail_runs": "[1]"})
    with dial(server.target) as caller:
        first = blocked(server, caller)
        pending = caller.send_all([RANKER.message(example) for example in examples])
        answers = [call.ranked() for call in [first, *pending]]
    for example, answer in zip(examples, answers[1:], strict=True):
        np.testing.assert_array_equal(fake_scores(example), answer.scores)
    assert [1] * 6 == [answer.response.timings.batch_requests for answer in answers]
    assert "run 1 fails, as scripted" == server.logged("run failed")["error"]
    assert 6.0 == server.metrics().total("podium_requests_total", outcome="scored")


def test_who_fails_alone_too_is_refused(models: Path, start: Start, examples: list[Example]) -> None:
    """Of five mates of a failed run, the one whose second chance fails as well is FAILED; four are scored."""
    server = fake(start, models, **{"stall_runs.0": f"{STALL_MS}", "fail_runs": "[1, 4]"})
    with dial(server.target) as caller:
        first = blocked(server, caller)
        pending = caller.send_all([RANKER.message(example) for example in examples])
        answers = [call.answer() for call in pending]
        first.ranked()
    assert ["EXECUTION_FAILED"] == [answer.reason for answer in answers if isinstance(answer, Refused)]
    scrape = server.metrics()
    assert 5.0 == scrape.total("podium_requests_total", outcome="scored")
    assert 1.0 == scrape.total("podium_refusals_total", reason="EXECUTION_FAILED")


@pytest.mark.parametrize("door", DOORS)
def test_a_request_that_fails_alone_is_refused_and_the_next_one_scored(
    models: Path, start: Start, door: Door
) -> None:
    """A failed run of one request: INTERNAL, kind FAILED, no retry; the server serves on."""
    server = fake(start, models, fail_runs="[0]")
    example = RANKER.example(4)
    with knock(server.target, door) as asker:
        refused = asker.send(RANKER.message(example)).refused()
        ranked = asker.send(RANKER.message(example)).ranked()
    assert (grpc.StatusCode.INTERNAL, "failed", "EXECUTION_FAILED", asker.never) == (
        refused.code,
        refused.kind,
        refused.reason,
        refused.pushback_ms,
    )
    np.testing.assert_array_equal(fake_scores(example), ranked.scores)


def test_an_invalid_candidate_does_not_disturb_its_batch(
    models: Path, start: Start, examples: list[Example]
) -> None:
    """In one run with a NaN candidate, everyone else's scores are what they are alone."""
    server = stalled(start, models, STALL_MS)
    bad = RANKER.message(RANKER.example(2))
    price = np.array([np.nan, 1.0], np.float32)
    bad.candidates.columns[1].data = price.tobytes()
    with dial(server.target) as caller:
        first = blocked(server, caller)
        messages = [RANKER.message(example) for example in examples]
        pending = caller.send_all([messages[0], bad, *messages[1:]])
        answers = [call.ranked() for call in pending]
        first.ranked()
    assert [6] * 6 == [answer.response.timings.batch_requests for answer in answers]
    assert [pb.OUTCOME_INVALID, pb.OUTCOME_SCORED] == answers.pop(1).outcomes
    for example, answer in zip(examples, answers, strict=True):
        np.testing.assert_array_equal(fake_scores(example), answer.scores)


@pytest.mark.parametrize("door", DOORS)
def test_who_waits_behind_a_stall_is_told_in_time(models: Path, start: Start, door: Door) -> None:
    """While the executor is stuck, waiting requests expire at their deadline, not when the stall ends."""
    server = stalled(start, models, STALL_MS * 2)
    request = RANKER.message(RANKER.example(5))
    request.timeout_us = 150_000
    with knock(server.target, door) as asker:
        first = blocked(server, asker)
        sent_s = time.monotonic()
        waiting = asker.send_all([request] * 8)
        refusals = [call.refused() for call in waiting]
        answered_s = time.monotonic()
        first.ranked()
        after = asker.send(RANKER.message(RANKER.example(5))).ranked()
    assert {("expired", "EXPIRED_IN_QUEUE", grpc.StatusCode.DEADLINE_EXCEEDED)} == {
        (refused.kind, refused.reason, refused.code) for refused in refusals
    }
    assert answered_s - sent_s < 0.150 + 0.100
    assert 5 == after.response.coverage.scored
    scrape = server.metrics()
    assert 8.0 == scrape.total("podium_refusals_total", reason="EXPIRED_IN_QUEUE")
    assert 8.0 == scrape.total("podium_requests_total", outcome="expired")
    assert 8.0 == scrape.total("podium_budget_violations_total", cause="expired")


@pytest.mark.parametrize("door", DOORS)
def test_cancelled_calls_leave_nothing_behind(models: Path, start: Start, door: Door) -> None:
    """Callers who leave, waiting or in a run, are counted and forgotten; the server serves on."""
    server = stalled(start, models, STALL_MS)
    request = RANKER.message(RANKER.example(5))
    with knock(server.target, door) as asker:
        first = blocked(server, asker)
        waiting = asker.send_all([request] * 6)
        server.wait_for(lambda scrape: 6 == scrape.total("podium_queue_depth"))
        for pending in [first, *waiting[:4]]:
            pending.cancel()
        server.wait_for(lambda scrape: 2 == scrape.total("podium_in_flight"))
        assert 2.0 == server.metrics().total("podium_queue_depth")
        assert [2, 2] == [call.ranked().response.timings.batch_requests for call in waiting[4:]]
    scrape = server.metrics()
    assert (5.0, 2.0, 0.0, 0.0) == (
        scrape.total("podium_requests_total", outcome="cancelled"),
        scrape.total("podium_requests_total", outcome="scored"),
        scrape.total("podium_in_flight"),
        scrape.total("podium_queue_depth"),
    )


def test_overload_is_refused_with_a_hint_and_is_no_illness(models: Path, start: Start) -> None:
    """More than fits before the deadlines: RESOURCE_EXHAUSTED with a wait, while health stays SERVING."""
    server = fake(start, models, overhead_ms="40")
    request = RANKER.message(RANKER.example(200))
    request.timeout_us = 150_000
    with dial(server.target) as caller:
        answers = [call.answer() for call in caller.send_all([request] * 30)]
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    overloaded = [answer for answer in refused if answer.kind == "overloaded"]
    assert {(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")} == {(a.code, a.reason) for a in overloaded}
    assert [] == [a for a in overloaded if not a.retry_after_s]
    assert (200, "ready\n") == server.get("/readyz")
    assert float(len(overloaded)) == server.metrics().total("podium_refusals_total", reason="OVERLOADED")
