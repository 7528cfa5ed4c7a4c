"""The run: peers that are there, started, settled, and measured block by block."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import grpc

from benchmarks.h2load import LoadError
from benchmarks.peers.peer import Absent, Figure, Peer
from benchmarks.peers.result import Block
from benchmarks.peers.workload import Case

WARM_UP_REQUESTS = 512
REQUESTS_MIN = 256
RESTARTS_MAX = 3
"""Of one peer, in all."""
TRIES = 3
"""Of each setting of a peer, before the blocks."""


class Run:
    """The peers that are there, and what happened to them."""

    def __init__(self, peers: Sequence[Peer], cases: Sequence[Case], seconds: float) -> None:
        self.peers = peers
        self.versions: dict[str, str] = {}
        self.settings: dict[str, dict[int, str]] = {}
        """By peer and candidates: what was fastest of what its documentation leaves to experiment."""
        self._absent: dict[str, str] = {}
        self._cases = cases
        self._seconds = seconds
        self._requests: dict[tuple[str, int], int] = {}
        self._fates: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def start(self) -> None:
        """Start every peer, warm it up, and learn how many requests fill the time."""
        for peer in self.peers:
            try:
                peer.start(self._cases)
            except Absent as reason:
                self._absent[peer.name] = str(reason)
                continue
            self.versions[peer.name] = peer.version()
            for case in self._cases:
                rate = self._measure(peer, case, WARM_UP_REQUESTS).requests_per_s
                if peer.settings:
                    rate = self._settle(peer, case, self._filling(rate))
                self._requests[peer.name, case.candidates] = self._filling(rate)

    def block(self, number: int) -> Block:
        """Every figure once."""
        here = [peer for peer in self.peers if peer.name not in self._absent]
        turn = number % len(here)
        found: dict[str, dict[int, Figure]] = {peer.name: {} for peer in here}
        for case in self._cases:
            for peer in here[turn:] + here[:turn]:
                requests = self._requests[peer.name, case.candidates]
                found[peer.name][case.candidates] = self._measure(peer, case, requests)
        return found

    def remark(self, peer: Peer) -> str:
        """For under the table."""
        if peer.name in self._absent:
            return self._absent[peer.name]
        fates = (f"; {fate} {times} times, restarted" for fate, times in self._fates[peer.name].items())
        settings = (
            f"; {setting} at {candidates}" for candidates, setting in self.settings.get(peer.name, {}).items()
        )
        return self.versions[peer.name] + "".join(settings) + "".join(fates)

    def stop(self) -> None:
        """End all, last first."""
        for peer in reversed(self.peers):
            peer.stop()

    def _filling(self, requests_per_s: float) -> int:
        """How many requests take the time of a figure."""
        return max(REQUESTS_MIN, round(requests_per_s * self._seconds))

    def _settle(self, peer: Peer, case: Case, requests: int) -> float:
        """Try a peer's settings in turn, and keep what was fastest for the case; requests/s with it."""
        rates: dict[str, list[float]] = {setting: [] for setting in peer.settings}
        for _ in range(TRIES):
            for setting, given in rates.items():
                peer.use(case, setting)
                given.append(self._measure(peer, case, requests).requests_per_s)
        # The best try of each: what disturbs a try only makes it slower.
        fastest = {setting: max(given) for setting, given in rates.items()}
        best = max(fastest, key=fastest.__getitem__)
        peer.use(case, best)
        self.settings.setdefault(peer.name, {})[case.candidates] = best
        return fastest[best]

    def _measure(self, peer: Peer, case: Case, requests: int) -> Figure:
        """One figure; of a peer that ends by itself, again."""
        while True:
            try:
                peer.check(case)
                figure = peer.load(case, requests)
                peer.check(case)
                return figure
            except (LoadError, grpc.RpcError):
                fate = peer.fate()
                if fate is None or sum(self._fates[peer.name].values()) == RESTARTS_MAX:
                    raise
                self._fates[peer.name][fate] += 1
                peer.stop()
                peer.start(self._cases)
