"""A run goes on without a peer that is absent, restarts one that ended, and settles each by trying."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.h2load import LoadError
from benchmarks.peers.peer import Absent, Figure, Peer, WrongAnswer, agree
from benchmarks.peers.run import RESTARTS_MAX, Run
from benchmarks.peers.workload import Case


def case(candidates: int) -> Case:
    return Case(candidates, {}, b"", np.arange(candidates, dtype=np.float32))


class Scripted(Peer):
    """Ends by itself at the loads that it is told; its rate depends on the setting."""

    def __init__(self, name: str, *, ends_at: Sequence[int] = (), absent: bool = False) -> None:
        self.name = name
        self.used = "first"
        self.starts = 0
        self.loads: list[int] = []
        self._ends_at = ends_at
        self._absent = absent
        self._ended = False

    def version(self) -> str:
        return "1.0"

    def start(self, cases: Sequence[Case]) -> None:
        if self._absent:
            raise Absent(f"{self.name} is not installed")
        self.starts += 1
        self._ended = False

    def use(self, case: Case, setting: str) -> None:
        self.used = setting

    def check(self, case: Case) -> None:
        assert self.starts

    def load(self, case: Case, requests: int) -> Figure:
        self.loads.append(requests)
        if len(self.loads) in self._ends_at:
            self._ended = True
            raise LoadError("connection lost")
        return Figure({"first": 1000.0, "second": 3000.0, "third": 2000.0}[self.used], 1.0)

    def fate(self) -> str | None:
        return "ended by signal 11" if self._ended else None

    def stop(self) -> None:
        self._ended = False


def test_an_absent_peer_is_left_out_and_says_why() -> None:
    """The others are measured all the same."""
    run = Run([Scripted("here"), Scripted("there", absent=True)], [case(20)], 1.0)
    run.start()
    assert {"here"} == set(run.block(0))
    assert "there is not installed" == run.remark(run.peers[1])


def test_the_fastest_setting_is_kept_and_fills_the_time() -> None:
    """What is measured afterwards runs with it, for as many requests as it does in the time."""
    peer = Scripted("peer")
    peer.settings = ("first", "second", "third")
    run = Run([peer], [case(20)], 1.0)
    run.start()
    assert 3000 == run.block(0)["peer"][20].requests_per_s
    assert 3000 == peer.loads[-1]
    assert "1.0; second at 20" == run.remark(peer)


def test_a_peer_that_ended_is_restarted_and_it_is_told() -> None:
    """Its figure is measured again; the row says how often that was needed."""
    peer = Scripted("peer", ends_at=[2])
    run = Run([peer], [case(20)], 1.0)
    run.start()
    assert 1000 == run.block(0)["peer"][20].requests_per_s
    assert 2 == peer.starts
    assert "1.0; ended by signal 11 1 times, restarted" == run.remark(peer)


def test_a_peer_that_always_ends_stops_the_run() -> None:
    """Restarts are bounded."""
    peer = Scripted("peer", ends_at=range(1, 100))
    with pytest.raises(LoadError, match="connection lost"):
        Run([peer], [case(20)], 1.0).start()
    assert 1 + RESTARTS_MAX == peer.starts


def test_scores_that_are_not_raw_onnx_runtimes_are_refused() -> None:
    """Too few, too far off, or not a number; a rounding difference passes."""
    asked = case(20)
    agree("peer", asked, asked.scores + np.float32(1e-7))
    for wrong in (asked.scores[:-1], asked.scores + np.float32(0.1), asked.scores * np.nan):
        with pytest.raises(WrongAnswer, match="peer"):
            agree("peer", asked, wrong)
