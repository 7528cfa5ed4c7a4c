"""Sending on schedule, and what a reply leaves in its record."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from loadtest import sender
from loadtest.plan import Plan
from loadtest.records import ENDINGS, blank
from loadtest.sender import Sender, Task, note_answer
from podium.v1 import ranking_pb2 as pb

Call = Callable[..., Awaitable[bytes]]
PLAN = Plan(target="h:1", requests="r", rate_per_s=1, duration_s=1, budget_ms=25)
HANGS_S = 20.0


def send(call: Call, requests: int) -> Sender:
    """Send this many requests, all due at once, through `call`; wait for every reply."""

    async def run() -> Sender:
        nothing = np.zeros(requests, np.int64)
        made = Sender(Task(PLAN, nothing, nothing), [b"request"], [call], start_ns=0)
        await asyncio.wait_for(made.run(), HANGS_S)
        return made

    return asyncio.run(run())


def endings(of: Sender) -> list[str]:
    """How its requests ended, in words."""
    return [ENDINGS[ending] for ending in of.rows["ending"]]


def test_sending_never_waits_for_an_answer() -> None:
    """Not one of 50 requests is answered before all 50 are sent; a client that waited would hang here."""
    asked = 0
    all_asked = asyncio.Event()

    async def call(message: bytes, timeout: float) -> bytes:
        nonlocal asked
        asked += 1
        if asked == 50:
            all_asked.set()
        await all_asked.wait()
        return b""

    assert ["answered"] * 50 == endings(send(call, 50))


def test_the_rpc_gets_the_plan_s_deadline_and_the_bytes_as_they_are() -> None:
    """What goes out is the message and max(4 budgets, 1 s)."""
    seen: list[tuple[bytes, float]] = []

    async def call(message: bytes, timeout: float) -> bytes:
        seen.append((message, timeout))
        return b""

    send(call, 2)
    assert [(b"request", 1.0)] * 2 == seen


def test_too_many_in_flight_stay_unsent_and_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded when a server hangs; what is left out is said, never dropped."""
    monkeypatch.setattr(sender, "IN_FLIGHT_MAX", 3)

    async def call(message: bytes, timeout: float) -> bytes:
        await asyncio.sleep(0)
        return b""

    assert ["answered"] * 3 + ["unsent"] * 2 == endings(send(call, 5))


def test_an_answer_that_cannot_be_read_is_a_failure() -> None:
    """Bytes that are no RankResponse count as the server's failure, with their instant."""

    async def call(message: bytes, timeout: float) -> bytes:
        return b"\xff\xff"

    sent = send(call, 1)
    assert ["failed"] == endings(sent)
    assert {"": 0, "UNREADABLE_ANSWER": 1} == sent.reasons
    assert sent.rows["done_ns"][0] >= sent.rows["sent_ns"][0] > 0


def test_an_answer_is_noted() -> None:
    """Coverage, step, server time and the first ten of the order."""
    rows = blank(np.array([0, 0]), np.array([0, 0]))
    for row, candidates in zip(rows, (12, 3), strict=True):
        note_answer(
            row,
            pb.RankResponse(
                step=pb.STEP_FULL,
                order=range(candidates),
                coverage=pb.Coverage(candidates=candidates, scored=2),
                timings=pb.Timings(total_us=70),
            ),
        )

    assert [ENDINGS.index("answered")] * 2 == rows["ending"].tolist()
    assert [[*range(10)], [0, 1, 2, *[-1] * 7]] == rows["top"].tolist()
    assert [(12, 2, 70, pb.STEP_FULL), (3, 2, 70, pb.STEP_FULL)] == rows[
        ["candidates", "scored", "server_us", "step"]
    ].tolist()
