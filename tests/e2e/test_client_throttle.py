"""A client that is refused too often stops asking, over both doors: the server is not even bothered."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from podium.client import AsyncClient, Client, RankRefused, RetryPolicy, ThrottlePolicy
from podium.client.throttle import REASON
from tests.bundles.tiny import TINY
from tests.e2e.running import Start

REQUESTS = 60
HASTY = ThrottlePolicy(requests_min=10)
ONCE = RetryPolicy(attempts_max=1)
MESSAGE = TINY.message(TINY.example(3)).SerializeToString()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    TINY.write(folder)
    return folder


def reasons_blocking(target: str, *, stream: bool, throttle: ThrottlePolicy | None) -> list[str]:
    reasons = []
    with Client(target, stream=stream, retry=ONCE, throttle=throttle) as client:
        for _ in range(REQUESTS):
            with pytest.raises(RankRefused) as caught:
                client.rank_message(MESSAGE, deadline_s=10.0)
            reasons.append(caught.value.reason)
    return reasons


async def reasons_async(target: str, *, stream: bool, throttle: ThrottlePolicy | None) -> list[str]:
    reasons = []
    async with AsyncClient(target, stream=stream, retry=ONCE, throttle=throttle) as client:
        for _ in range(REQUESTS):
            with pytest.raises(RankRefused) as caught:
                await client.rank_message(MESSAGE, deadline_s=10.0)
            reasons.append(caught.value.reason)
    return reasons


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "asyncio"])
def test_what_is_refused_here_is_never_sent(models: Path, start: Start, blocking: bool, stream: bool) -> None:
    """A server without room refuses the first ten; of the rest it hears little, without a throttle all."""
    server = start(models, "--set=limits.in_flight_bytes_max=1")

    def reasons(throttle: ThrottlePolicy | None) -> Counter[str]:
        if blocking:
            return Counter(reasons_blocking(server.target, stream=stream, throttle=throttle))
        return Counter(asyncio.run(reasons_async(server.target, stream=stream, throttle=throttle)))

    throttled = reasons(HASTY)
    assert {"IN_FLIGHT_BYTES", REASON} == throttled.keys()
    assert throttled[REASON] > REQUESTS // 2
    heard = server.metrics().total("podium_refusals_total", reason="IN_FLIGHT_BYTES")
    assert throttled["IN_FLIGHT_BYTES"] == heard
    assert Counter({"IN_FLIGHT_BYTES": REQUESTS}) == reasons(None)
