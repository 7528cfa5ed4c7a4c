"""The client's throttle: silent until servers refuse most, then sending about twice what they take."""

from __future__ import annotations

import random

import grpc
import pytest

from podium.client import RankRefused
from podium.client.throttle import DEFAULT, REASON, Throttle, ThrottlePolicy
from podium.v1.refusal import RefusalDetails


def refused(kind: str) -> RankRefused:
    return RankRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "", RefusalDetails(kind=kind))


BUSY = refused("overloaded")


def sent_shares(
    offered_per_s: int, capacity_per_s: int, seconds: int, throttle: Throttle, begin_s: int = 0
) -> list[float]:
    """Per second, what was sent of what the server takes, which refuses what comes too soon."""
    rng = random.Random(7)
    shares, room = [], 1.0
    for second in range(begin_s, begin_s + seconds):
        sent = 0
        for n in range(offered_per_s):
            now_s = second + n / offered_per_s
            room = min(room + capacity_per_s / offered_per_s, 2.0)
            try:
                throttle.ask(2, now_s, rng.random())
            except RankRefused:
                continue
            sent += 1
            throttle.told(2, now_s, None if room >= 1 else BUSY)
            room -= room >= 1
        shares.append(sent / capacity_per_s)
    return shares


def test_an_overload_is_held_to_a_multiple_of_what_is_accepted() -> None:
    """Five times of what the server takes: once a window has passed, about K times of it are sent."""
    shares = sent_shares(500, 100, 300, Throttle(ThrottlePolicy(window_s=30.0)))
    assert 2.0 == pytest.approx(sum(shares[-100:]) / 100, rel=0.15)


def test_it_lets_go_when_there_is_room_again() -> None:
    """A window after the overload nothing is held back."""
    throttle = Throttle(ThrottlePolicy(window_s=30.0))
    sent_shares(500, 100, 60, throttle)
    after = sent_shares(80, 100, 60, throttle, begin_s=60)
    assert 0.8 == pytest.approx(after[-1])


def test_below_twice_the_capacity_it_is_silent() -> None:
    """Nothing is refused here that K = 2 leaves to the server."""
    shares = sent_shares(180, 100, 120, Throttle(ThrottlePolicy(window_s=30.0)))
    assert min(shares) >= 1.7


def test_a_handful_says_nothing() -> None:
    """A hundred refusals in a row are all sent; then the client begins to doubt."""
    throttle = Throttle(DEFAULT)
    for n in range(DEFAULT.requests_min):
        throttle.ask(2, n / 100, 0.0)
        throttle.told(2, n / 100, BUSY)
    with pytest.raises(RankRefused) as caught:
        throttle.ask(2, 1.5, 0.0)
    assert ("overloaded", REASON, grpc.StatusCode.RESOURCE_EXHAUSTED, 0) == (
        caught.value.kind,
        caught.value.reason,
        caught.value.code,
        caught.value.attempts,
    )


def test_what_is_under_way_says_nothing() -> None:
    """A thousand at once are all sent: none of them has been refused."""
    throttle = Throttle(DEFAULT)
    for n in range(1000):
        throttle.ask(2, n / 1e6, 0.0)


@pytest.mark.parametrize("kind", ["invalid", "denied", "expired", "cancelled", "unready", "failed"])
def test_only_want_of_room_counts(kind: str) -> None:
    """Whatever else went wrong is no sign of overload."""
    throttle = Throttle(DEFAULT)
    for n in range(1000):
        throttle.ask(2, n / 100, 0.0)
        throttle.told(2, n / 100, refused(kind))


def test_classes_are_counted_apart() -> None:
    """Refused sheddable requests hold back sheddable ones only."""
    throttle = Throttle(DEFAULT)
    for n in range(101):
        throttle.ask(3, n / 100, 0.999)
        throttle.told(3, n / 100, BUSY)
        throttle.ask(1, n / 100, 0.0)
        throttle.told(1, n / 100, None)
    with pytest.raises(RankRefused):
        throttle.ask(3, 2.0, 0.0)
    throttle.ask(1, 2.0, 0.0)


@pytest.mark.parametrize(("key", "value"), [("multiplier", 0.5), ("window_s", 0.0)])
def test_a_bad_policy_is_named(key: str, value: float) -> None:
    """The sentence names the field."""
    with pytest.raises(ValueError, match=key):
        ThrottlePolicy(**{key: value})
