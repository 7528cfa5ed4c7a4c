"""One record per scheduled request: the raw truth of a run. Every number is a fold over these.

Rule: nothing that was scheduled is missing here, whatever became of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NEVER_NS: Final = -1
"""sent_ns or done_ns of what did not happen."""
TOP: Final = 10
"""Ranks kept of each answer: what nDCG@10 needs."""

ANSWERED: Final = "answered"
TIMEOUT: Final = "timeout"  # the client's own deadline passed without a word from the server
UNSENT: Final = "unsent"  # the client had too many in flight
FAILED: Final = "failed"  # Podium's word for "our fault"; also whatever broke without a word from it
KINDS: Final = (FAILED, "invalid", "denied", "overloaded", "expired", "cancelled", "unready")
"""Podium's kinds of refusal, as on the wire."""
ENDINGS: Final = (UNSENT, ANSWERED, TIMEOUT, *KINDS)
"""How a request ended. The blank record's 0 is unsent: only what was sent can have ended otherwise."""
NOT_ADMITTED: Final = ("invalid", "denied", "overloaded", "unready")
"""Refusals that make no promise; everything else was let in, and counts against the budget."""

DTYPE: Final = np.dtype(
    [
        ("message", "<u4"),  # index in the request set
        ("intended_ns", "<i8"),  # all instants count from the run's start
        ("sent_ns", "<i8"),
        ("done_ns", "<i8"),
        ("ending", "u1"),  # index in ENDINGS
        ("reason", "<u2"),  # index in Records.reasons
        ("code", "u1"),  # gRPC's, as a number
        ("step", "u1"),  # of the quality ladder; 0 = not answered
        ("candidates", "<u4"),
        ("scored", "<u4"),
        ("server_us", "<u4"),  # arrival to reply built, by the server's clock
        ("top", "<i4", (TOP,)),  # candidate indices, best first; -1 = none
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """The records of a run, by intended instant.

    Attributes:
        rows: of DTYPE.
        reasons: names that `rows["reason"]` indexes; the first is "".
    """

    rows: NDArray[Any]
    reasons: tuple[str, ...]

    def ended(self, *endings: str) -> NDArray[np.bool_]:
        """Mask of the records that ended in one of these ways."""
        return np.isin(self.rows["ending"], [ENDINGS.index(ending) for ending in endings])

    def since(self, from_ns: int) -> Records:
        """Those that should have been sent at `from_ns` or later."""
        return Records(self.rows[self.rows["intended_ns"] >= from_ns], self.reasons)

    def save(self, path: Path) -> None:
        """Write as .npz."""
        columns: dict[str, Any] = {name: self.rows[name] for name in DTYPE.names or ()}
        np.savez_compressed(path, reasons=np.array(self.reasons), endings=np.array(ENDINGS), **columns)


def blank(instants: NDArray[np.int64], picked: NDArray[np.int64]) -> NDArray[Any]:
    """Rows of requests that are yet to be sent."""
    rows = np.zeros(len(instants), DTYPE)
    rows["intended_ns"], rows["message"] = instants, picked
    rows["sent_ns"] = rows["done_ns"] = NEVER_NS
    rows["top"] = -1
    return rows


def merge(parts: Sequence[Records]) -> Records:
    """One run's records from several processes', in order of intended instants."""
    names = tuple(dict.fromkeys(("", *(name for part in parts for name in part.reasons))))
    moved = []
    for part in parts:
        rows = part.rows.copy()
        rows["reason"] = np.array([names.index(name) for name in part.reasons], np.uint16)[rows["reason"]]
        moved.append(rows)
    rows = np.concatenate(moved)
    return Records(rows[np.argsort(rows["intended_ns"], kind="stable")], names)


def load(path: Path) -> Records:
    """Read what `Records.save` wrote.

    Raises:
        ValueError: it is something else, or of another form.
        OSError: it cannot be read.
    """
    with np.load(path, allow_pickle=False) as file:
        if set(file.files) != {"reasons", "endings", *(DTYPE.names or ())}:
            raise ValueError(f"{path}: not the records of a load test")
        if tuple(file["endings"].tolist()) != ENDINGS:
            raise ValueError(f"{path}: written by another version of this load test")
        rows = np.zeros(len(file["message"]), DTYPE)
        for name in DTYPE.names or ():
            rows[name] = file[name]
        return Records(rows, tuple(file["reasons"].tolist()))
