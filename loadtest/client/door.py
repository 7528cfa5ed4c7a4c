"""How one request reaches a server and how its end is told: the seam for protocols, ours and others.

A door turns whatever its protocol says into an answer's bytes or an `Ended`, and says when.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from loadtest.records import FAILED, KINDS, TIMEOUT
from podium.v1 import ranking_pb2 as pb
from protos import refusal

_RANKER: Final = pb.DESCRIPTOR.services_by_name["Ranker"].full_name
RANK: Final = f"/{_RANKER}/Rank"
RANK_STREAM: Final = f"/{_RANKER}/RankStream"
CONNECT_S_MAX: Final = 5.0
SWEEP_S: Final = 0.02
"""How often deadlines are looked at: they are seconds away, and what timed out is infinitely late anyway."""
MESSAGE_BYTES_MAX: Final = 64 << 20
NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
"""gRPC's status codes by number."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A request ended without an answer.

    Attributes:
        ending: one of `loadtest.records.ENDINGS`.
        reason: the server's word for it, or gRPC's.
        code: gRPC's status code as a number.
    """

    ending: str
    reason: str
    code: int


GONE: Final = Ended(FAILED, "UNAVAILABLE", 14)
LATE: Final = Ended(TIMEOUT, "DEADLINE_EXCEEDED", 4)
UNREADABLE_FRAME: Final = Ended(FAILED, "UNREADABLE_FRAME", 13)

Settle = Callable[[int, int, bytes | Ended], None]
"""Told, once per request: its number, the monotonic instant in ns, the answer or how it ended."""


class Door(Protocol):
    """A way to a server. Belongs to the event loop that runs when it is made."""

    async def open(self) -> None:
        """Connect.

        Raises:
            ConnectionError: nobody answers.
        """

    def ask(self, number: int, message: bytes, timeout_s: float, settle: Settle) -> None:
        """Send now; `settle` is called later, never from within; `number` is unique in flight."""

    async def close(self) -> None:
        """Leave."""


async def answer(door: Door, message: bytes, timeout_s: float) -> bytes | Ended:
    """Ask and wait."""
    told: asyncio.Future[bytes | Ended] = asyncio.get_running_loop().create_future()
    door.ask(next(_NUMBERS), message, timeout_s, lambda _, __, said: told.set_result(said))
    return await told


_NUMBERS: Final = itertools.count()


def ended(code: int, trailers: Iterable[tuple[str, str | bytes]]) -> Ended:
    """What a gRPC status that is not OK means."""
    details = refusal.read(trailers)
    name = NAMES.get(code, f"CODE_{code}")
    # Without Podium's own word a no is not a refusal: it is the network, or a server that fell over.
    unsigned = TIMEOUT if name == "DEADLINE_EXCEEDED" else FAILED
    return Ended(details.kind if details.kind in KINDS else unsigned, details.reason or name, code)


def refused(status: bytes) -> Ended:
    """What a stream's in-band google.rpc.Status means: the same as in a unary call's trailers."""
    try:
        code = status_pb2.Status.FromString(status).code
    except DecodeError:
        return UNREADABLE_FRAME
    return ended(code, ((refusal.DETAILS_KEY, status),))
