"""The idle server, asked before the load: what each message's order is when nothing is short.

One request at a time, so that each is alone in its run: with the served variant (what degradation and
lateness cost is counted from there), and with the unquantised one (what quantisation costs).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import uvloop
from numpy.typing import NDArray

from loadtest.client.door import Door, Ended, answer
from loadtest.records import TOP
from loadtest.workload import Workload
from podium.v1 import ranking_pb2 as pb

ASKING_S_MAX: Final = 60.0
"""In all: a slow model gets fewer messages asked, and the report says how many."""
TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What the idle server said, per message of the workload.

    Attributes:
        asked: bool [messages]: it answered in full, with both variants where there are both.
        alone, against: int16 [messages, TOP] best first, -1 = none; of the served and of the unquantised
        variant.
        scores: float32, all candidates of all messages, NaN where not asked; of the served variant.
    """

    asked: NDArray[np.bool_]
    alone: NDArray[np.int16]
    against: NDArray[np.int16]
    scores: NDArray[np.float32]


def ask(
    door: Callable[[], Door],
    workload: Workload,
    wanted: NDArray[np.int64],
    variant: str,
    progress: Callable[[float], None],
) -> Reference:
    """Ask about these messages, in this order, until the time is up.

    Args:
        variant: that counts as unquantised.
        progress: told the share done.

    Raises:
        ConnectionError: nobody answers.
    """
    found: Reference = uvloop.run(_ask(door, workload, wanted, variant, progress))
    return found


async def _ask(
    make: Callable[[], Door],
    workload: Workload,
    wanted: NDArray[np.int64],
    variant: str,
    progress: Callable[[float], None],
) -> Reference:
    count = len(workload.messages)
    offsets = np.concatenate([[0], np.cumsum(workload.candidates)])
    found = Reference(
        asked=np.zeros(count, np.bool_),
        alone=np.full((count, TOP), -1, np.int16),
        against=np.full((count, TOP), -1, np.int16),
        scores=np.full(int(offsets[-1]), np.nan, np.float32),
    )
    door = make()  # here: a channel belongs to the loop that runs when it is made
    await door.open()
    until_s = time.monotonic() + ASKING_S_MAX
    has_against = True
    try:
        for done, at in enumerate(wanted.tolist()):
            progress(done / len(wanted))
            if time.monotonic() > until_s:
                break
            alone = await _full(door, workload.messages[at], "")
            if alone is None:
                continue
            against = await _full(door, workload.messages[at], variant) if has_against else None
            if against is None and has_against:
                # Refused for this message, or for all: a server without the variant says so at the first.
                has_against = bool(found.asked.any())
                if has_against:
                    continue
            found.asked[at] = True
            found.scores[offsets[at] : offsets[at + 1]] = np.frombuffer(alone.scores, "<f4")
            _note(found.alone, at, alone)
            if against is not None:
                _note(found.against, at, against)
    finally:
        await door.close()
    return found


async def _full(door: Door, message: bytes, variant: str) -> Any:
    """The answer with every candidate scored; None for anything else."""
    request = pb.RankRequest.FromString(message)
    request.timeout_us = 0
    request.variant = variant or request.variant
    said = await answer(door, request.SerializeToString(), TIMEOUT_S)
    if isinstance(said, Ended):
        return None
    response = pb.RankResponse.FromString(said)
    full = response.coverage.scored == response.coverage.candidates == request.candidates.count
    return response if full and len(response.scores) == 4 * request.candidates.count else None


def _note(tops: NDArray[np.int16], at: int, response: Any) -> None:
    top = response.order[:TOP]
    tops[at, : len(top)] = top
