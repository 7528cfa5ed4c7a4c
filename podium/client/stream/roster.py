"""The backends of a target: who they are by the last look-up, and whose turn it is. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final, Generic

from podium.client.stream.backend import Backend
from podium.client.stream.conversation import Conversation, Phase, T
from podium.client.stream.target import Address

RESOLVE_S_MIN: Final = 1.0
"""Between two look-ups, however much fails."""
RESOLVE_S_MAX: Final = 30.0
"""Between two look-ups, when nothing fails: a replica that is added gets its streams."""


class Roster(Generic[T]):
    """Backends take turns.

    Not least-in-flight: a backend that refuses everything at once looks idle, and would draw everybody.
    """

    def __init__(self, *, looks_up: bool) -> None:
        """Nobody yet, and no look-up due.

        Args:
            looks_up: whether the target has names that may mean others later.
        """
        self.backends: list[Backend[T]] = []
        self._looks_up = looks_up
        self._turn = 0
        self._looking = False
        self._looked_s = -math.inf
        self._look_s = math.inf

    @property
    def hopeless(self) -> bool:
        """There is nobody to be reached, as far as was tried."""
        if not self.backends and self._looked_s == -math.inf:
            return False
        return all(backend.unreachable and not backend.streams for backend in self.backends)

    def of(self, stream: Conversation[T]) -> Backend[T] | None:
        """The backend that the stream serves; None for one that takes no more."""
        return next((backend for backend in self.backends if stream in backend.streams), None)

    def pick(self, avoid: str) -> Conversation[T] | None:
        """The next in turn that has room; one to avoid, or a last resort, only if there is no other."""
        count = len(self.backends)
        best: tuple[tuple[bool, bool], int, Conversation[T]] | None = None
        for step in range(count):
            at = (self._turn + step) % count
            stream = self.backends[at].roomiest()
            if stream is None:
                continue
            cost = (avoid != "" and str(stream.address) == avoid, stream.phase is Phase.LAST_RESORT)
            if best is None or cost < best[0]:
                best = cost, at, stream
            if not any(cost):
                break
        if best is None:
            return None
        self._turn = best[1] + 1
        return best[2]

    def look(self, now_s: float) -> None:
        """A look-up is wanted: the first, or because something has ended and may have moved."""
        if self._looks_up or self._looked_s == -math.inf:
            self._look_s = min(self._look_s, max(now_s, self._looked_s + RESOLVE_S_MIN))

    def looks(self, now_s: float) -> bool:
        """Whether to look up now; the outcome is told by `found` or `missed`."""
        if self._looking or now_s < self._look_s:
            return False
        self._looking = True
        return True

    def found(self, addresses: Iterable[Address], now_s: float) -> list[Conversation[T]]:
        """The target means these now; returns the streams of those that it means no longer."""
        known = {backend.address: backend for backend in self.backends}
        self.backends = [known.get(each) or Backend(each, now_s) for each in addresses]
        self._looking = False
        self._looked_s = now_s
        self._look_s = now_s + RESOLVE_S_MAX if self._looks_up else math.inf
        gone = [backend for backend in known.values() if backend not in self.backends]
        return [stream for backend in gone for stream in backend.streams]

    def missed(self, now_s: float) -> None:
        """The look-up failed. Known backends stay: the names' server may be down, they need not be."""
        self._looking = False
        self._looked_s = now_s
        self._look_s = now_s + RESOLVE_S_MIN

    def due(self) -> Iterator[float]:
        """When something is to be opened or looked up."""
        yield math.inf if self._looking else self._look_s
        for backend in self.backends:
            if not backend.streams:
                yield backend.retry_s
