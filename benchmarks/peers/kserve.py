"""What Triton and MLServer have in common: KServe v2 over gRPC, an interpreter of their own, a slow start."""

from __future__ import annotations

import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import grpc

from benchmarks.peers import wire
from benchmarks.peers.peer import Absent, Unary, call
from benchmarks.peers.process import PeerProcess, free_port
from benchmarks.peers.workload import Case

START_S_MAX = 90.0
BETWEEN_TRIES_S = 0.25


class KServe(Unary):
    """A server that is started for the benchmark and speaks `inference.GRPCInferenceService`.

    It serves the graph once per setting, as models of different names.
    """

    path = wire.MODEL_INFER
    distributions: tuple[str, ...]
    """Packages whose versions belong to its figures."""

    def __init__(self, folder: Path, venv: Path, graph: Path) -> None:
        """venv: made by `benchmarks.peers.install`."""
        super().__init__(folder)
        self.venv = venv
        self.graph = graph.resolve()
        self._process: PeerProcess | None = None
        self._used: dict[int, str] = {}

    def use(self, case: Case, setting: str) -> None:
        """Ask the model of that setting."""
        self._used[case.candidates] = setting

    def model(self, case: Case) -> str:
        """The model that is asked."""
        return model_name(self.settings.index(self._used.get(case.candidates, self.settings[0])))

    @abstractmethod
    def launch(self) -> PeerProcess:
        """Start the server on `self.port`."""

    def start(self, cases: Sequence[Case]) -> None:
        """Start it and wait for the first answer with every setting."""
        if not (self.venv / "bin/python").exists():
            raise Absent("not installed: python -m benchmarks.peers.install")
        self.port = free_port()
        self._process = self.launch()
        self.pid = self._process.pid
        deadline_s = time.monotonic() + START_S_MAX
        used = dict(self._used)
        for setting in self.settings:
            self.use(cases[0], setting)
            self._wait(self._process, self.message(cases[0]), deadline_s)
        self._used = used

    def _wait(self, process: PeerProcess, message: bytes, deadline_s: float) -> None:
        while True:
            try:
                call(self.port, self.path, message)
                return
            except grpc.RpcError as error:
                if process.exit_code is not None or time.monotonic() > deadline_s:
                    words = process.last_words()
                    self.stop()
                    raise Absent(f"it does not answer ({error.code().name}): {words}") from None
            time.sleep(BETWEEN_TRIES_S)

    def version(self) -> str:
        """Asked of its own interpreter."""
        code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
        command = [str(self.venv / "bin/python"), "-c", code, *self.distributions]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        listed = [f"{name} {number}" for name, number in zip(self.distributions, found, strict=True)]
        return ", ".join([*listed, f"Python {sys.version.split()[0]}"])

    def fate(self) -> str | None:
        """How the server ended by itself."""
        code = None if self._process is None else self._process.exit_code
        if code is None:
            return None
        return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def stop(self) -> None:
        """End the server and what it started."""
        if self._process is not None:
            self._process.stop()
            self._process = None


def model_name(setting: int) -> str:
    """Of the model with a peer's n-th setting."""
    return f"bench_{setting}"
