"""One record per scheduled request: the raw truth of a run. Every number is a fold over these.

Rule: nothing that was scheduled is missing here, whatever became of it.
"""

from __future__ import annotations

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
UNSENT: Final = "unsent"  # the client had too many in flight, or ended before its time
MISSING: Final = "missing"  # sent, and the run was over before anything came back
FAILED: Final = "failed"  # Podium's word for "our fault"; also whatever broke without a word from it
KINDS: Final = (FAILED, "invalid", "denied", "overloaded", "expired", "cancelled", "unready")
"""Podium's kinds of refusal, as on the wire."""
ENDINGS: Final = (UNSENT, MISSING, ANSWERED, TIMEOUT, *KINDS)
"""How a request ended. The blank record's 0 is unsent: only what was sent can have ended otherwise."""
NOT_ADMITTED: Final = ("invalid", "denied", "overloaded", "unready")
"""Refusals that make no promise; everything else was let in, and counts against the budget."""
ERRORS: Final = (UNSENT, MISSING, TIMEOUT, FAILED)
"""Admitted and neither answered nor given up with a reason: a fault, not a lack of time."""

STAGES: Final = ("decode_us", "queue_us", "form_us", "run_us", "split_us")
"""Where the server says that the time went; what they leave of `server_us` is its remainder."""

DTYPE: Final = np.dtype(
    [
        ("message", "<u4"),  # index in the workload's messages
        ("class", "u1"),  # index in the scenario's mix
        ("phase", "u1"),  # index in the scenario's phases
        ("process", "u1"),  # which client process sent it
        ("intended_ns", "<i8"),  # all instants count from the run's start
        ("sent_ns", "<i8"),
        ("done_ns", "<i8"),
        ("ending", "u1"),  # index in ENDINGS
        ("reason", "u1"),  # index in Records.reasons
        ("code", "u1"),  # gRPC's, as a number
        ("step", "u1"),  # of the quality ladder; 0 = not answered
        ("candidates", "<u2"),
        ("scored", "<u2"),
        ("batch_requests", "<u2"),  # of the run that scored it
        ("server_us", "<u4"),  # arrival to reply built, by the server's clock
        *((stage, "<u4") for stage in STAGES),
        ("top", "<i2", (TOP,)),  # candidate indices, best first; -1 = none
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
        wanted = np.zeros(len(ENDINGS), np.bool_)
        wanted[[ENDINGS.index(ending) for ending in endings]] = True
        mask: NDArray[np.bool_] = wanted[self.rows["ending"]]
        return mask

    def where(self, part: NDArray[Any]) -> Records:
        """Those under a mask or at ascending indices; a view when they are one stretch."""
        return Records(self.rows[stretch(part)], self.reasons)

    def save(self, path: Path) -> None:
        """Write as .npz: one array per column, so that any tool can read it."""
        columns: dict[str, Any] = {name: self.rows[name] for name in DTYPE.names or ()}
        np.savez(path, reasons=np.array(self.reasons), endings=np.array(ENDINGS), **columns)


def stretch(part: NDArray[Any]) -> NDArray[Any] | slice:
    """A mask or ascending indices as a slice when nothing lies between them: it copies nothing, and a copy of
    three million records takes 255 MB."""
    at = np.flatnonzero(part) if part.dtype == np.bool_ else part
    if len(at) and int(at[-1]) - int(at[0]) + 1 == len(at):
        return slice(int(at[0]), int(at[-1]) + 1)
    return at


def load(path: Path) -> Records:
    """Read what `Records.save` wrote.

    Raises:
        ValueError: it is something else, or of another form.
        OSError: it cannot be read.
    """
    with np.load(path, allow_pickle=False) as file:
        if set(file.files) != {"reasons", "endings", *(DTYPE.names or ())}:
            raise ValueError(f"{path}: not the records of a load test, or of another version of it")
        if tuple(file["endings"].tolist()) != ENDINGS:
            raise ValueError(f"{path}: written by another version of this load test")
        rows = np.zeros(len(file["message"]), DTYPE)
        for name in DTYPE.names or ():
            rows[name] = file[name]
        return Records(rows, tuple(file["reasons"].tolist()))
