"""grpc.health.v1 call by call: who watches is told of every change, and nothing a caller says breaks that."""

from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2 as pb

from server.door.call import Call, Handler
from server.door.health import RANKER, SERVICE, Health
from tests.unit.server.door.spoken import Spoken

KNOWN = pb.HealthCheckResponse


def asked(service: str) -> bytes:
    """The question."""
    data: bytes = pb.HealthCheckRequest(service=service).SerializeToString()
    return data


def told(spoken: Spoken) -> list[int]:
    """The answers."""
    return [KNOWN.FromString(message[5:]).status for message in spoken.messages]


def begin(health: Health, method: str) -> tuple[Spoken, Handler]:
    """A call."""
    spoken = Spoken()
    return spoken, health.methods()[f"/{SERVICE}/{method}"](Call(spoken, 1), None)


@pytest.mark.parametrize(
    ("data", "statuses", "code"),
    [
        (asked(""), [KNOWN.NOT_SERVING], "0"),
        (asked(RANKER), [KNOWN.NOT_SERVING], "0"),
        (asked("nobody"), [], "5"),
        (b"\xff", [], "3"),
        (b"\x0a\x01\xff", [], "3"),
    ],
    ids=["server", "service", "unknown", "no message", "no text"],
)
def test_a_check(data: bytes, statuses: list[int], code: str) -> None:
    """A status, or the reason why there is none; a server that loads serves nothing yet."""
    spoken, call = begin(Health(), "Check")
    call.message(data)
    assert (statuses, code) == (told(spoken), spoken.code)


def test_a_watch_is_told_nothing_twice() -> None:
    """First what is, then only what changes; a name that nobody knows is no error."""
    health = Health()
    known, watch = begin(health, "Watch")
    watch.message(asked(RANKER))
    watch.half_closed()
    unknown, other = begin(health, "Watch")
    other.message(asked("nobody"))
    health.draining()
    assert ([KNOWN.NOT_SERVING], [KNOWN.SERVICE_UNKNOWN]) == (told(known), told(unknown))
    watch.leaving()
    other.gone()
    health.draining()
    assert ("14", None) == (known.code, unknown.code)


@pytest.mark.parametrize(
    ("messages", "code"),
    [([], "13"), ([b"\xff"], "3"), ([asked(""), asked("")], "13"), ([asked(""), b"\xff"], "13")],
    ids=["none", "no message", "two", "a second that is none"],
)
def test_a_watch_takes_one_message(messages: list[bytes], code: str) -> None:
    """More or less ends it; nobody tells it of changes any more."""
    health = Health()
    spoken, watch = begin(health, "Watch")
    for message in messages:
        watch.message(message)
    if not messages:
        watch.half_closed()
    assert code == spoken.code
    health.draining()
