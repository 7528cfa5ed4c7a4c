"""What each message's orders are worth: its labels, its prior, and what an idle server made of it.

Kept apart from the records, so that quality can be folded again, by any k, long after the server is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from measures.ndcg import Judged


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Per message of the workload.

    Attributes:
        labels: float32, graded relevance of all candidates, one message after the other; all 0 = not known.
        offsets: int64 [messages + 1], where each message's labels and scores begin.
        prior_top: int16 [messages, TOP], the order its caller falls back to; best first, -1 = none.
        alone_top: the same, of the idle server with the served variant.
        against_top: of the idle server with the variant that counts as unquantised.
        asked: bool [messages], the idle server was asked about it.
        alone_scores: float32 as `labels`, by the served variant; NaN where not asked.
    """

    labels: NDArray[np.float32]
    offsets: NDArray[np.int64]
    prior_top: NDArray[np.int16]
    alone_top: NDArray[np.int16]
    against_top: NDArray[np.int16]
    asked: NDArray[np.bool_]
    alone_scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        messages = len(self.offsets) - 1
        per_message = (self.prior_top, self.alone_top, self.against_top, self.asked)
        if any(len(column) != messages for column in per_message):
            raise ValueError(f"a column does not have {messages} messages")
        if not len(self.labels) == len(self.alone_scores) == self.offsets[-1]:
            raise ValueError(f"labels and scores do not have {self.offsets[-1]} candidates")

    @property
    def candidates(self) -> NDArray[np.int64]:
        """int64 [messages], how many each has."""
        return np.diff(self.offsets)

    @property
    def referenced(self) -> NDArray[np.bool_]:
        """bool [messages]: the idle server answered with both variants."""
        return self.asked & (self.alone_top[:, 0] >= 0) & (self.against_top[:, 0] >= 0)

    def judged(self, k: int) -> Judged:
        """The labels, made ready for nDCG@k."""
        return Judged(self.labels, self.offsets, k)

    def save(self, path: Path) -> None:
        """Write as .npz.

        Raises:
            OSError: there is no room, or no permission.
        """
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez_compressed(path, **columns)


def load(path: Path) -> Truth:
    """Read what `Truth.save` wrote.

    Raises:
        ValueError: it is something else.
        OSError: it cannot be read.
    """
    with np.load(path, allow_pickle=False) as file:
        if set(file.files) != {field.name for field in fields(Truth)}:
            raise ValueError(f"{path}: not the truth of a load test, or of another version of it")
        return Truth(**{name: file[name] for name in file.files})
