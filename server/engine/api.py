"""What the dispatcher and an engine agree on: plain arrays in, plain arrays out.

Rule: nothing here or in the protocol knows a session, a thread or a request, so that an engine may live in
another process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from server.domain import Array, Scores


@dataclass(frozen=True, slots=True)
class Batch:
    """One run's feeds.

    Attributes:
        feeds: graph input -> array; context [R, ...], candidates [N, ...], row_to_context [N].
        rows: N.
    """

    feeds: Mapping[str, Array]
    rows: int


class Engine(Protocol):
    """Runs one variant of one bundle."""

    def run(self, batch: Batch) -> Mapping[str, Scores]:
        """Return head -> float32 [N]. Raises EngineError when the run fails."""
        ...


class EngineError(Exception):
    """A run failed. The message is for the log; it may quote the execution provider, never a request."""


class ProviderMissing(Exception):
    """A configured execution provider cannot be used here: nothing can be loaded. One sentence."""
