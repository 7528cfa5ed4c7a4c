"""What is measured: a peer answers a case, is checked, and bears a closed loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks import h2load
from benchmarks.peers.process import cpu_s
from benchmarks.peers.workload import Case

IN_FLIGHT = (4, 16)
"""Connections, and requests in flight on each."""
CALL_S_MAX = 30.0
FRAME_BYTES = 5
"""gRPC's prefix of a message."""
AGREEMENT_STD = 1e-5
"""Largest difference to raw ONNX Runtime, in standard deviations of a request's scores; the export gates a
score's dependence on its batch-mates."""


class Absent(RuntimeError):
    """A peer that this machine cannot run; its text says why, to stand behind the name."""


class WrongAnswer(RuntimeError):
    """A peer answered, but not with raw ONNX Runtime's scores."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One peer at one size in one block.

    Attributes:
        busy: the server's CPU seconds per second of the load; on one core, 1 = it could do no more.
            None = not a server.
    """

    requests_per_s: float
    busy: float | None = None


class Peer(ABC):
    """Something that scores requests.

    Attributes:
        name: of its row.
        settings: that its documentation leaves to experiment, in words; none = nothing to try.
    """

    name: str
    settings: tuple[str, ...] = ()

    @abstractmethod
    def version(self) -> str:
        """What runs, with the versions that matter."""

    @abstractmethod
    def start(self, cases: Sequence[Case]) -> None:
        """Make it ready for these cases.

        Raises:
            Absent: it cannot run here.
        """

    def use(self, case: Case, setting: str) -> None:
        """Run this case with one of the settings from now on; before, it is the first.

        Raises:
            ValueError: the peer has no settings.
        """
        raise ValueError(f"{self.name} has no setting {setting!r}")

    @abstractmethod
    def check(self, case: Case) -> None:
        """Ask once.

        Raises:
            WrongAnswer: the scores are not those of raw ONNX Runtime.
        """

    @abstractmethod
    def load(self, case: Case, requests: int) -> Figure:
        """So many requests in a closed loop.

        Raises:
            h2load.LoadError: not all were answered with scores.
        """

    @abstractmethod
    def stop(self) -> None:
        """End it; nothing if it does not run."""

    def fate(self) -> str | None:
        """How it ended by itself; None = it did not."""
        return None


class Unary(Peer):
    """A server behind unary gRPC under h2load, the same client for all.

    Attributes:
        path: of the method.
        port, pid: once it is started.
    """

    path: str
    port: int
    pid: int

    def __init__(self, folder: Path) -> None:
        """folder: for what it needs on disk; made if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._floor_bytes: dict[int, int] = {}

    @abstractmethod
    def message(self, case: Case) -> bytes:
        """The request, serialised."""

    @abstractmethod
    def scores(self, answer: bytes) -> NDArray[np.float32]:
        """Of a serialised answer, float32 [N]."""

    def shortest(self, answer: bytes) -> int:
        """How many bytes the shortest answer with the same scores has: every answer has at least as many."""
        return len(answer)

    def check(self, case: Case) -> None:
        """Ask once, and learn how long an answer is."""
        answer = call(self.port, self.path, self.message(case))
        agree(self.name, case, self.scores(answer))
        self._floor_bytes[case.candidates] = FRAME_BYTES + self.shortest(answer)

    def load(self, case: Case, requests: int) -> Figure:
        """h2load counts a gRPC refusal as a success, HTTP 200: it has no message, so the bytes tell."""
        connections, streams = IN_FLIGHT
        body = h2load.write_body(self.folder / f"request-{case.candidates}.bin", self.message(case))
        before_s = cpu_s(self.pid)
        given = h2load.run(
            self.port, body, requests=requests, connections=connections, streams=streams, path=self.path
        )
        spent_s = cpu_s(self.pid) - before_s
        if given.answer_bytes < self._floor_bytes[case.candidates]:
            raise h2load.LoadError(
                f"{self.name}, {case.candidates} candidates: {given.answer_bytes:.1f} bytes per answer, "
                f"an answer with scores has {self._floor_bytes[case.candidates]}"
            )
        return Figure(given.requests_per_s, spent_s * given.requests_per_s / requests)


def call(port: int, path: str, message: bytes, *, wait: bool = False) -> bytes:
    """One unary call.

    Args:
        wait: for the server to listen.

    Raises:
        grpc.RpcError: any status but OK.
    """
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer: bytes = channel.unary_unary(path)(message, timeout=CALL_S_MAX, wait_for_ready=wait)
        return answer


def agree(name: str, case: Case, scores: NDArray[np.float32]) -> None:
    """Compare with raw ONNX Runtime.

    Raises:
        WrongAnswer: another length, or a score that is off by more than `AGREEMENT_STD`.
    """
    if scores.shape != case.scores.shape:
        raise WrongAnswer(f"{name}: {len(scores)} scores for {case.candidates} candidates")
    off = float(np.abs(scores - case.scores).max()) / float(case.scores.std())
    if not off <= AGREEMENT_STD:
        raise WrongAnswer(f"{name}, {case.candidates} candidates: a score is off by {off:.1e} std")
