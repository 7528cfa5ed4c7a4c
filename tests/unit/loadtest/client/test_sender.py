"""Sending on schedule, and what a reply leaves in its record."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from loadtest.client import sender
from loadtest.client.door import Ended, Settle
from loadtest.client.sender import Seen, Sender, Share
from loadtest.records import DTYPE, ENDINGS, NEVER_NS
from podium.v1 import ranking_pb2 as pb

Answer = Callable[[bytes, float], Awaitable[bytes | Ended]]
HANGS_S = 20.0
FULL = pb.RankResponse(step=pb.STEP_FULL, order=[1, 0], coverage=pb.Coverage(candidates=2, scored=2))


class Scripted:
    """A door whose answers the test writes."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Nothing to connect to."""

    def ask(self, number: int, message: bytes, timeout_s: float, settle: Settle) -> None:
        """As the script says."""

        async def asked() -> None:
            said = await self._answer(message, timeout_s)
            settle(number, time.monotonic_ns(), said)

        task = asyncio.get_running_loop().create_task(asked())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Nothing to leave."""


def send(
    answer: Answer,
    instants_ns: list[int],
    *,
    in_flight_max: int = 1000,
    sampled: bool = False,
    stop_after_s: float | None = None,
) -> tuple[np.ndarray, Seen]:
    """Send a request at each instant of a schedule that began long ago; wait for every reply."""
    count = len(instants_ns)
    rows = np.zeros(count, DTYPE)
    rows["sent_ns"] = rows["done_ns"] = NEVER_NS
    share = Share(
        rows=rows,
        intended_ns=np.array(instants_ns, np.int64),
        message=np.arange(count) % 2,
        timeout_s=np.full(count, 1.5),
        sampled=np.full(count, sampled),
    )

    async def run() -> Seen:
        made = Sender(share, [b"even", b"odd"], Scripted(answer), 0, in_flight_max)
        if stop_after_s is not None:
            asyncio.get_running_loop().call_later(stop_after_s, made.stop)
        return await asyncio.wait_for(made.run(), HANGS_S)

    return rows, asyncio.run(run())


def endings(rows: np.ndarray) -> list[str]:
    """How the requests ended, in words."""
    return [ENDINGS[ending] for ending in rows["ending"]]


async def full(message: bytes, timeout_s: float) -> bytes:
    data: bytes = FULL.SerializeToString()
    return data


def test_sending_never_waits_for_an_answer() -> None:
    """Not one of 50 requests is answered before all 50 are sent; a client that waited would hang here."""
    asked = 0
    all_asked = asyncio.Event()

    async def answer(message: bytes, timeout_s: float) -> bytes:
        nonlocal asked
        asked += 1
        if asked == 50:
            all_asked.set()
        await all_asked.wait()
        return await full(message, timeout_s)

    assert ["answered"] * 50 == endings(send(answer, [0] * 50)[0])


def test_the_rpc_gets_the_schedule_s_deadline_and_the_bytes_as_they_are() -> None:
    """What goes out is the message picked and its class's deadline."""
    seen: list[tuple[bytes, float]] = []

    async def answer(message: bytes, timeout_s: float) -> bytes:
        seen.append((message, timeout_s))
        return await full(message, timeout_s)

    send(answer, [0, 0, 0])
    assert [(b"even", 1.5), (b"odd", 1.5), (b"even", 1.5)] == seen


def test_too_many_in_flight_stay_unsent_and_on_record() -> None:
    """Memory is bounded when a server hangs; what is left out is said, never dropped."""

    async def answer(message: bytes, timeout_s: float) -> bytes:
        await asyncio.sleep(0)
        return await full(message, timeout_s)

    rows, _ = send(answer, [0] * 5, in_flight_max=3)
    assert ["answered"] * 3 + ["unsent"] * 2 == endings(rows)
    assert [NEVER_NS] * 2 == rows["sent_ns"][3:].tolist()


def test_a_refusal_keeps_its_word() -> None:
    """Ending, reason and code as the door says them."""

    async def answer(message: bytes, timeout_s: float) -> Ended:
        return Ended("overloaded", "OVERLOADED", 8)

    rows, seen = send(answer, [0])
    assert (["overloaded"], "OVERLOADED", 8) == (
        endings(rows),
        seen.reasons[rows["reason"][0]],
        int(rows["code"][0]),
    )
    assert rows["done_ns"][0] >= rows["sent_ns"][0] > 0


def test_an_answer_that_cannot_be_read_is_a_failure() -> None:
    """Bytes that are no RankResponse count as the server's failure, with their instant."""

    async def answer(message: bytes, timeout_s: float) -> bytes:
        return b"\xff\xff"

    rows, seen = send(answer, [0])
    assert (["failed"], ["", "UNREADABLE_ANSWER"]) == (endings(rows), seen.reasons)
    assert rows["done_ns"][0] >= rows["sent_ns"][0] > 0


def test_a_server_that_invents_reasons_is_told_apart_only_so_far() -> None:
    """The records have one byte for a reason: past the limit they share one name, and none is misnamed."""
    count = sender.REASONS_MAX + 50
    numbers = iter(range(count))

    async def answer(message: bytes, timeout_s: float) -> Ended:
        return Ended("failed", f"REASON_{next(numbers)}", 2)

    rows, seen = send(answer, [0] * count)
    assert sender.OTHER == seen.reasons[-1]
    assert len(seen.reasons) == sender.REASONS_MAX + 1
    assert 50 + 1 == (rows["reason"] == len(seen.reasons) - 1).sum()


def test_a_stop_sends_no_more_and_waits_for_what_is_in_flight() -> None:
    """What was due is answered; what was to come stays unsent."""
    hour_ns = 3_600_000_000_000

    async def answer(message: bytes, timeout_s: float) -> bytes:
        await asyncio.sleep(0.2)
        return await full(message, timeout_s)

    far = time.monotonic_ns() + hour_ns
    rows, _ = send(answer, [0, 0, far], stop_after_s=0.05)
    assert ["answered", "answered", "unsent"] == endings(rows)


def test_the_running_count_of_requests_in_flight_agrees_with_the_records() -> None:
    """Little's law, exactly: both are written at the same instants."""

    async def answer(message: bytes, timeout_s: float) -> bytes:
        await asyncio.sleep(0.01)
        return await full(message, timeout_s)

    rows, seen = send(answer, [0] * 20)
    assert seen.in_flight_ns == int((rows["done_ns"] - rows["sent_ns"]).sum())


@pytest.mark.parametrize("sampled", [True, False])
def test_sampled_answers_are_kept_whole(sampled: bool) -> None:
    """To be compared later, byte for byte; the others leave only their record."""
    _, seen = send(full, [0, 0], sampled=sampled)
    assert seen.samples == ([(0, FULL.SerializeToString()), (1, FULL.SerializeToString())] if sampled else [])
