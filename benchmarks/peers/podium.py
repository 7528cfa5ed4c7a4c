"""Podium, through each of its doors; one server for both."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks import h2load
from benchmarks.peers.peer import CALL_S_MAX, IN_FLIGHT, Figure, Peer, Unary, agree
from benchmarks.peers.process import cpu_s
from benchmarks.peers.workload import Case
from benchmarks.server_process import ServerProcess
from benchmarks.stream_load import StreamLoad
from podium.v1 import ranking_pb2 as pb
from podium.v1 import ranking_pb2_grpc as stubs

BUDGET = "models.bench.budget_ms=60000"
"""A closed loop queues on purpose: it measures throughput, and nothing may be refused for being late."""


def _version() -> str:
    describe = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, capture_output=True, text=True).stdout.strip() or "of no commit"
    return f"Podium {commit}, onnxruntime {version('onnxruntime')}, numpy {version('numpy')}"


class PodiumUnary(Unary):
    """`Ranker.Rank`."""

    name = "Podium, Rank"
    path = h2load.RANK

    def __init__(self, folder: Path, models: Path) -> None:
        """models: the folder of bundles."""
        super().__init__(folder)
        self._models = models
        self.server: ServerProcess | None = None

    def version(self) -> str:
        """Of what it runs on."""
        return _version()

    def start(self, cases: Sequence[Case]) -> None:
        """Start the server."""
        self.server = ServerProcess.start(self._models, [BUDGET])
        self.port, self.pid = self.server.port, self.server.process.pid

    def message(self, case: Case) -> bytes:
        """The RankRequest."""
        return case.rank

    def scores(self, answer: bytes) -> NDArray[np.float32]:
        """Of a RankResponse."""
        return np.frombuffer(pb.RankResponse.FromString(answer).scores, "<f4")

    def shortest(self, answer: bytes) -> int:
        """Only the times vary."""
        message = pb.RankResponse.FromString(answer)
        message.ClearField("timings")
        return message.ByteSize()

    def load(self, case: Case, requests: int) -> Figure:
        """The server's own count of refusals must not have moved."""
        assert self.server is not None
        before = refusals(self.server.metrics())
        figure = super().load(case, requests)
        refused = refusals(self.server.metrics()) - before
        if refused:
            raise h2load.LoadError(f"{self.name}, {case.candidates} candidates: {refused} requests refused")
        return figure

    def stop(self) -> None:
        """End the server."""
        if self.server is not None:
            self.server.stop()
            self.server = None


class PodiumStream(Peer):
    """`Ranker.RankStream` of the same server; its client reads every answer."""

    name = "Podium, RankStream"

    def __init__(self, unary: PodiumUnary) -> None:
        """unary: started before and stopped after this."""
        self._unary = unary
        self._client: StreamLoad | None = None

    def version(self) -> str:
        """Of what it runs on."""
        return _version()

    def start(self, cases: Sequence[Case]) -> None:
        """Open the streams, one per connection."""
        self._client = StreamLoad(self._unary.port, IN_FLIGHT[0])

    def check(self, case: Case) -> None:
        """Ask once, over a stream of its own."""
        asked = pb.StreamRequest(id=1, rank=pb.RankRequest.FromString(case.rank))
        with grpc.insecure_channel(f"127.0.0.1:{self._unary.port}") as channel:
            answers = stubs.RankerStub(channel).RankStream(iter([asked]), timeout=CALL_S_MAX)
            ranked = [answer.ranked for answer in answers if answer.id == asked.id]
        agree(self.name, case, np.frombuffer(ranked[0].scores if ranked else b"", "<f4"))

    def load(self, case: Case, requests: int) -> Figure:
        """As many in flight as the unary client has."""
        assert self._client is not None
        connections, streams = IN_FLIGHT
        body = h2load.write_body(self._unary.folder / f"stream-{case.candidates}.bin", case.rank)
        before_s = cpu_s(self._unary.pid)
        given = self._client.run(body, requests=requests, in_flight=connections * streams)
        spent_s = cpu_s(self._unary.pid) - before_s
        return Figure(given.requests_per_s, spent_s * given.requests_per_s / requests)

    def stop(self) -> None:
        """Close the streams."""
        if self._client is not None:
            self._client.stop()
            self._client = None


def refusals(metrics: str) -> int:
    """Requests refused so far, from the text of /metrics."""
    return round(sum(map(float, re.findall(r"^podium_refusals_total\{.*\} (\S+)$", metrics, re.MULTILINE))))
