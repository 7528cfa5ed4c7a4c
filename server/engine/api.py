"""What the dispatcher and an engine agree on: plain arrays in, plain arrays out.

Rule: nothing here or in the protocol knows a session, a thread or a request, so that an engine may live in
another process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.domain import Array, Scores


@dataclass(frozen=True, slots=True)
class Batch:
    """One run's feeds.

    Attributes:
        feeds: graph input -> array; context [R, ...], candidates [N, ...], row_to_context [N].
        rows: N.
        lengths: int64 [N], tokens of each candidate; None where they have no length axis.
    """

    feeds: Mapping[str, Array]
    rows: int
    lengths: NDArray[np.int64] | None = None


class Brake(Protocol):
    """Ends one executor's current run from another thread."""

    def pull(self) -> None:
        """The run raises EngineError soon, as soon as the engine can; without a run, nothing happens."""
        ...


class Engine(Protocol):
    """Runs one variant of one bundle."""

    computes_here: bool
    """The calling thread does the work, so that its CPU time says how much that was."""

    def brake(self) -> Brake:
        """A brake for one executor."""
        ...

    def run(self, batch: Batch, brake: Brake | None = None) -> Mapping[str, Scores]:
        """Return head -> float32 [N]. Raises EngineError when the run fails.

        Args:
            brake: one of this engine's, which may end the run.
        """
        ...


class EngineError(Exception):
    """A run failed. The message is for the log; it may quote the execution provider, never a request."""


class ProviderMissing(Exception):
    """A configured execution provider cannot be used here: nothing can be loaded. One sentence."""
