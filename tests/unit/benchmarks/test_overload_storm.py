"""`benchmarks.overload.storm`: the client's retries on a virtual door, and the judgement of a storm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.overload import storm_client
from benchmarks.overload.storm import AFTER_S, CALM_S, TRIGGER_S, Recovery, instants, judge
from benchmarks.overload.storm_client import ATTEMPTS_MAX, NEVER, Storm
from loadtest.client.door import Ended, Settle

NO = Ended("overloaded", "OVERLOADED", 8)


class Scripted:
    """A door behind which somebody says yes or no to the n-th attempt, at once."""

    def __init__(self, says: Callable[[int], bytes | Ended]) -> None:
        self._says = says
        self.asked: list[bytes] = []

    async def open(self) -> None:
        """Nothing to open."""

    def ask(self, number: int, message: bytes, timeout_s: float, settle: Settle) -> None:
        """Answer in the loop's next turn."""
        self.asked.append(message)
        loop = asyncio.get_running_loop()
        said = self._says(len(self.asked))
        loop.call_soon(lambda: settle(number, round(loop.time() * 1e9), said))

    async def close(self) -> None:
        """Nothing to close."""


def stormed(door: Scripted, intended_s: list[float]) -> Storm:
    """A storm of these requests."""
    return asyncio.run(storm_client.send(lambda: door, [b"a", b"b"], np.array(intended_s)))


def test_who_is_answered_asks_once() -> None:
    """One attempt per request, the messages in turn."""
    door = Scripted(lambda at: b"yes")
    found = stormed(door, [0.0, 0.001, 0.002])
    assert [1, 1, 1] == found.attempts.tolist()
    assert [b"a", b"b", b"a"] == door.asked
    assert not found.failed.any()
    assert (found.answered_s >= 0).all()


def test_who_is_refused_asks_again_until_the_answer() -> None:
    """Two noes, then yes: three attempts, the last of them answered."""
    found = stormed(Scripted(lambda at: b"yes" if at == 3 else NO), [0.0])
    assert [3] == found.attempts.tolist()
    assert [True, True, False] == found.failed.tolist()


def test_who_is_refused_for_ever_leaves() -> None:
    """After the most attempts that there are, without an answer."""
    found = stormed(Scripted(lambda at: NO), [0.0])
    assert [ATTEMPTS_MAX] == found.attempts.tolist()
    assert [NEVER] == found.answered_s.tolist()


def test_triggers_are_pulled() -> None:
    """At their instants, in order."""
    pulled: list[int] = []
    acts = [(0.002, lambda: pulled.append(1)), (0.004, lambda: pulled.append(2))]
    door = Scripted(lambda at: b"yes")
    asyncio.run(storm_client.send(lambda: door, [b"a"], np.array([0.0, 0.02]), acts))
    assert [1, 2] == pulled


def made(bad_until_s: float, also: Callable[[NDArray[np.float64]], NDArray[np.bool_]] | None = None) -> Storm:
    """Good at 100/s; from the trigger to an instant, and at `also`, every request fails ten times."""
    intended_s = np.arange(0.0, CALM_S + TRIGGER_S + AFTER_S, 0.01)
    bad = (intended_s >= CALM_S) & (intended_s < bad_until_s)
    if also is not None:
        bad = bad | also(intended_s)
    attempts = np.where(bad, 10, 1)
    failed = np.repeat(bad, attempts)
    return Storm(
        intended_s,
        attempts,
        np.where(bad, NEVER, intended_s + 0.01),
        np.where(bad, NEVER, 0.01),
        np.repeat(intended_s, attempts),
        failed,
    )


QUIET = made(0.0)


def judged(storm: Storm, once: Storm = QUIET) -> Recovery:
    """Against a run in which nothing happened."""
    return judge(storm, QUIET, once, 0.025, ("plan", "made"))


def test_a_server_that_is_back_with_the_trigger_gone() -> None:
    """Nothing is out of the ordinary after it."""
    found = judged(made(CALM_S + TRIGGER_S))
    assert 0.0 == found.seconds
    assert found.passed
    assert (0.0, 1.0, 10.0) == pytest.approx(found.during)


def test_a_server_that_takes_its_time() -> None:
    """Three seconds after the trigger: goodput, failures and attempts tell the same."""
    found = judged(made(CALM_S + TRIGGER_S + 3.0))
    assert (3.0, 3.0, 3.0) == (found.goodput_s, found.failed_s, found.attempts_s)
    assert found.passed


def test_a_server_that_stays_down() -> None:
    """Metastable: the trigger is gone and the retries keep it down."""
    found = judged(made(1e9))
    assert found.seconds is None
    assert not found.passed


def test_a_late_answer_is_not_good() -> None:
    """Goodput counts what came within the budget of its attempt."""
    storm = made(0.0)
    late = Storm(
        storm.intended_s,
        storm.attempts,
        storm.answered_s,
        np.full(len(storm.intended_s), 0.026),
        storm.sent_s,
        storm.failed,
    )
    assert 0.0 == judged(late).after[0]


def test_what_arrivals_do_without_the_trigger_is_not_held_against_it() -> None:
    """Two bad seconds late in both runs: back at once; in one of them only: not before their end."""

    def at(intended_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        return (intended_s > 15.0) & (intended_s < 17.0)

    bunched = made(CALM_S, also=at)
    assert 0.0 == judge(bunched, bunched, QUIET, 0.025, ("plan", "made")).seconds
    assert judged(bunched).seconds == pytest.approx(17.0 - CALM_S - TRIGGER_S)


def test_a_calm_that_is_a_storm_is_nothing_to_come_back_to() -> None:
    """Where retries alone have brought goodput down, no trigger can show anything."""
    down = made(CALM_S, also=lambda intended_s: np.arange(len(intended_s)) % 2 == 0)
    assert 0.0 == judge(down, down, down, 0.025, ("plan", "made")).goodput_s
    assert judge(down, down, down, 0.025, ("plan", "made")).passed
    assert not judge(down, down, QUIET, 0.025, ("plan", "made")).passed


def test_instants_have_their_rates() -> None:
    """0.8, 3 and 0.8 times a rate, ascending, seeded; the last stretch is the same whatever the trigger."""
    parts = instants(1000.0, (0.8, 3.0, 0.8), AFTER_S)
    found = np.concatenate(parts)
    counts = np.histogram(found, [0.0, CALM_S, CALM_S + TRIGGER_S, CALM_S + TRIGGER_S + AFTER_S])[0]
    assert counts / [CALM_S, TRIGGER_S, AFTER_S] == pytest.approx([800.0, 3000.0, 800.0], rel=0.06)
    assert (np.diff(found) >= 0).all()
    assert (parts[2] == instants(1000.0, (0.8, 0.8, 0.8), AFTER_S)[2]).all()
