"""Raw ONNX Runtime as a row of the table: no server, feeds prebuilt; every share is of this."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.bench import RAW_REQUESTS, Raw
from benchmarks.peers.peer import Figure, Peer
from benchmarks.peers.workload import Case


class SessionRun(Peer):
    """The best of 1 to 16 requests per `session.run`."""

    name = "raw ONNX Runtime"

    def __init__(self, graph: Path) -> None:
        """graph: the file that every peer runs."""
        self._graph = graph
        self._raw: Raw | None = None

    def version(self) -> str:
        """Of what it runs on."""
        return f"onnxruntime {version('onnxruntime')}, numpy {version('numpy')}"

    def start(self, cases: Sequence[Case]) -> None:
        """Start the process."""
        self._raw = Raw(self._graph)

    def check(self, case: Case) -> None:
        """Nothing to compare with: the cases' scores come from this."""

    def load(self, case: Case, requests: int) -> Figure:
        """As long as it takes, whatever `requests` says."""
        assert self._raw is not None
        rates = [self._raw.measure(case.candidates, grouped)["requests_per_s"] for grouped in RAW_REQUESTS]
        return Figure(max(rates))

    def stop(self) -> None:
        """End the process."""
        if self._raw is not None:
            self._raw.stop()
            self._raw = None
