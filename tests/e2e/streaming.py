"""Both clients with stream=True behind one face: begin calls, look at how they ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from podium.client import AsyncClient, Client, Ranked, RankingRequest, RankRefused

DEADLINE_S = 10.0
HANGS_S = 20.0

Outcome = Ranked | RankRefused


class Asker:
    """A client in use: `begin(request, deadline_s)` makes a call without waiting for it."""

    def __init__(self, begin: Callable[[RankingRequest, float], Future[Outcome]]) -> None:
        self._begin = begin

    def begin(self, *wanted: str | RankingRequest, deadline_s: float = DEADLINE_S) -> list[Future[Outcome]]:
        """Calls all at once; a name stands for a request with one candidate and that request_id."""
        return [self._begin(request(each), deadline_s) for each in wanted]

    def ask(self, *wanted: str | RankingRequest, deadline_s: float = DEADLINE_S) -> list[Outcome]:
        """Calls all at once, and how they ended."""
        return ended(self.begin(*wanted, deadline_s=deadline_s))


Via = Callable[..., AbstractContextManager[Asker]]
"""via(target, **options): a client of the target, closed at the end."""


def request(wanted: str | RankingRequest) -> RankingRequest:
    """The smallest request of that name."""
    if isinstance(wanted, RankingRequest):
        return wanted
    return RankingRequest(model="m", ids=["a"], request_id=wanted)


def ended(calls: Sequence[Future[Outcome]]) -> list[Outcome]:
    """How they ended."""
    return [call.result(HANGS_S) for call in calls]


def names(outcomes: Sequence[Outcome]) -> list[str]:
    """Whose answers these are; all must be answers."""
    assert [] == [one for one in outcomes if isinstance(one, RankRefused)]
    return [one.request_id for one in outcomes if isinstance(one, Ranked)]


def refusal(outcome: Outcome) -> RankRefused:
    """The refusal that it must be."""
    assert isinstance(outcome, RankRefused), outcome
    return outcome


@contextmanager
def blocking(target: str, **options: Any) -> Iterator[Asker]:
    """The blocking client, a thread per call."""
    with ThreadPoolExecutor(1024) as threads, Client(target, stream=True, **options) as client:

        def one(asked: RankingRequest, deadline_s: float) -> Outcome:
            try:
                return client.rank(asked, deadline_s=deadline_s)
            except RankRefused as refused:
                return refused

        yield Asker(lambda asked, deadline_s: threads.submit(one, asked, deadline_s))


@contextmanager
def awaited(target: str, **options: Any) -> Iterator[Asker]:
    """The asyncio client, its loop in a thread, a task per call."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> AsyncClient:
        return AsyncClient(target, stream=True, **options)

    client = asyncio.run_coroutine_threadsafe(make(), loop).result(HANGS_S)

    async def one(asked: RankingRequest, deadline_s: float) -> Outcome:
        try:
            return await client.rank(asked, deadline_s=deadline_s)
        except RankRefused as refused:
            return refused

    try:
        yield Asker(lambda asked, deadline_s: asyncio.run_coroutine_threadsafe(one(asked, deadline_s), loop))
    finally:
        asyncio.run_coroutine_threadsafe(client.close(), loop).result(HANGS_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
