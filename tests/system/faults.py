"""Servers in each of the faults that an alert is for, under a steady load, beside one that is well."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bundles.tiny import TinyRanker
from tests.e2e.calls import dial
from tests.e2e.running import RunningServer
from tests.e2e.scripted import STUCK_MS, fake
from tests.e2e.test_bundles import miss_golden

RUNS = 20_000
"""More than a test makes."""
PACE_S = 0.02
"""Between two requests of a load: 250 in the five seconds that stand for five minutes; guards ask for 100."""


class Faults:
    """Servers by the name of their fault, each with its models; all are ended on leaving.

    Attributes:
        folder: with a folder per fault, `NAME/models`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: dict[str, RunningServer] = {}
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def models(self, name: str) -> Path:
        """The models' folder of a server."""
        return self.folder / name / "models"

    def well(self, name: str) -> None:
        """Every request is answered in time; runs take what they take."""
        ranker = self._scripted(name, overhead_ms="5")
        self._load(name, ranker)

    def failing(self, name: str) -> None:
        """Every run fails, so every admitted request misses its budget."""
        ranker = self._scripted(name, fail_runs=str(list(range(RUNS))))
        self._load(name, ranker)

    def overloaded(self, name: str) -> None:
        """It can do 20 requests in a second and is offered 50."""
        ranker = self._scripted(name, "--set=batch.requests_max=1", overhead_ms="50")
        self._load(name, ranker)

    def drifting(self, name: str) -> None:
        """Two runs of ten take thirty times as long as the others: no caution that is learned covers them."""
        slow = {f"stall_runs.{run}": "60" for run in range(RUNS // 10) if run % 10 in (3, 7)}
        ranker = self._scripted(name, "--set=batch.requests_max=1", overhead_ms="2", **slow)
        self._load(name, ranker)

    def stuck(self, name: str) -> None:
        """The first run does not come back, and the caller in it has a minute's time."""
        ranker = self._scripted(name, budget_ms=60_000, overhead_ms="1", **{"stall_runs.0": f"{STUCK_MS}"})
        server = self.servers[name]

        def ask() -> None:
            with dial(server.target) as caller:
                caller.send(ranker.message(ranker.example(3)), timeout_s=None)
                self._over.wait()

        self._begin(ask)

    def standing_still(self, name: str) -> None:
        """Stopped for 200 ms, twice a second, as by a host that gives its processor to others."""
        self._scripted(name)
        server = self.servers[name]

        def stop_and_go() -> None:
            while not self._over.wait(0.3):
                server.signal(signal.SIGSTOP)
                time.sleep(0.2)
                server.signal(signal.SIGCONT)

        self._begin(stop_and_go)

    def refused(self, name: str, golden: str) -> None:
        """Of model `name` a file is damaged, and no version serves; of `golden`, version 2 misses its golden
        scores, and version 1 serves."""
        models = self.models(name)
        damaged = TinyRanker(name=name).write(models) / "fp32" / "fused.onnx"
        damaged.write_bytes(b"\x08")
        TinyRanker(name=golden).write(models)
        newer = TinyRanker(name=golden, version=2)
        miss_golden(newer.write(models), newer, *newer.variants)
        self.servers[name] = RunningServer.start(models, self.folder / name / "stderr.txt", [])

    def stop(self) -> None:
        """End loads and servers."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        for server in self.servers.values():
            server.stop()

    def _scripted(self, name: str, *arguments: str, budget_ms: float = 200, **script: str) -> TinyRanker:
        ranker = TinyRanker(name=name, variants=("fp32",), budget_ms=budget_ms)
        ranker.write(self.models(name))
        errors = self.folder / name / "stderr.txt"

        def start(models: Path, *more: str) -> RunningServer:
            return RunningServer.start(models, errors, more)

        self.servers[name] = fake(start, self.models(name), *arguments, **script)
        return ranker

    def _load(self, name: str, ranker: TinyRanker) -> None:
        """Send one request each PACE_S, whatever becomes of the ones before."""
        target, data = self.servers[name].target, ranker.message(ranker.example(3)).SerializeToString()

        def send() -> None:
            with dial(target) as caller:
                while not self._over.wait(PACE_S):
                    caller.send(data)

        self._begin(send)

    def _begin(self, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()


@contextmanager
def faults(folder: Path) -> Iterator[Faults]:
    """None yet; all that are begun are ended with it."""
    with ExitStack() as stack:
        found = Faults(folder)
        stack.callback(found.stop)
        yield found
