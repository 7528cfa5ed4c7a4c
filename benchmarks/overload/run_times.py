"""Raw ONNX Runtime over the workload's mix of sizes: T(b), in a process of its own on the server's core.

    python -m benchmarks.overload.run_times ORDER

ORDER is a JSON file; the answer is one JSON line. The feeds are the server's own, of the messages as the load
test sends them, and are built before the clock starts. Run sizes take turns; each run's time is its median
over the rounds, so that a neighbour's burst is no part of it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from benchmarks.overload.workloads import Workload
from benchmarks.raw import session
from benchmarks.server_process import SERVER_CORE
from loadtest import workload as messages
from loadtest.candidates import resize, rows
from loadtest.scenario.form import Phase, Scenario, Slo
from loadtest.scenario.form import Workload as Sent
from podium.v1 import ranking_pb2 as pb
from server.config import Limits
from server.domain import Array, Payload
from server.engine.bundle import open_bundle
from server.engine.tensors import Packer
from server.wire import Decoder, parse

BATCHES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
MESSAGES: Final = 100
"""Of the request set, at most: every size of the mix, equally often as it is sent."""
ROUNDS_MIN: Final = 3
CANDIDATES_MAX: Final = 4096
SECONDS: Final = 12.0

Feed = dict[str, Array]


class Order(msgspec.Struct, frozen=True):
    """What to measure."""

    bundle: str
    graph: str
    sent: Sent
    budget_ms: float
    seconds: float


class RunTimes(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Attributes:
        mixed_ms: requests per run -> mean time of a run of so many requests of the mix; up to the first that
            takes longer than the budget.
        mean_ms: the same for requests of the mean size each.
        sizes: [candidates, time of a run of this one request in ms], in order of candidates.
        candidates_mean: per request.
    """

    mixed_ms: dict[int, float]
    mean_ms: dict[int, float]
    sizes: list[tuple[int, float]]
    candidates_mean: float


def measure(work: Workload, seconds: float = SECONDS) -> RunTimes:
    """Measure in a process on the server's core; nothing else should run there."""
    order = Order(str(work.bundle), str(work.graph), work.sent, work.budget_ms, seconds)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(msgspec.json.encode(order))
        file.flush()
        command = ["taskset", "-c", SERVER_CORE, sys.executable, "-m", __name__, file.name]
        output = subprocess.run(command, check=True, capture_output=True).stdout
    return msgspec.json.decode(output, type=RunTimes, strict=False)


def main() -> None:
    """Obey one order."""
    order = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Order)
    made = Feeds(order)
    batches = feasible(made, order)
    runs = {("mixed", batch): made.mixed(batch) for batch in batches}
    runs |= {("mean", batch): [made.equal(batch)] for batch in batches}
    times_ms = timed(order, runs)
    singles = sorted(zip(made.counts, times_ms["mixed", 1], strict=True))
    found = RunTimes(
        mixed_ms={batch: float(np.mean(times_ms["mixed", batch])) for batch in batches},
        mean_ms={batch: float(np.mean(times_ms["mean", batch])) for batch in batches},
        sizes=[(int(count), float(ms)) for count, ms in singles],
        candidates_mean=float(np.mean(made.counts)),
    )
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")


class Feeds:
    """Makes the feeds of runs out of the messages that the load test would send."""

    def __init__(self, order: Order) -> None:
        scenario = Scenario(
            version=1,
            name="runs",
            workload=order.sent,
            slo=Slo(budget_ms=1.0),
            phases=(Phase(name="runs", duration_s=1.0),),
        )
        every = messages.load(scenario).messages
        some = np.random.default_rng(0).permutation(len(every))[:MESSAGES]
        bundle = open_bundle(Path(order.bundle))
        self._decoder = Decoder(bundle.layout, bundle.vocabs, Limits(), CANDIDATES_MAX)
        self._layout = bundle.layout
        self._requests = [parse(every[at]) for at in some]
        self.counts = [request.candidates.count for request in self._requests]

    def mixed(self, batch: int) -> list[Feed]:
        """Runs that together hold every message once; what does not fill a run is left out.

        Where there are fewer messages than that, one run holds some of them again.
        """
        every = self._requests
        if len(every) < batch:
            return [self._feed([every[at % len(every)] for at in range(batch)])]
        groups = [every[at : at + batch] for at in range(0, len(every), batch)]
        return [self._feed(group) for group in groups if len(group) == batch]

    def equal(self, batch: int) -> Feed:
        """A run of requests that all have the mean size."""
        mean = round(float(np.mean(self.counts)))
        rng = np.random.default_rng(0)
        alike = []
        for at in range(batch):
            request = self._requests[at % len(self._requests)]
            copy = pb.RankRequest.FromString(request.SerializeToString())
            resize(copy, rows(copy.candidates.count, mean, rng))
            alike.append(copy)
        return self._feed(alike)

    def _feed(self, group: Sequence[pb.RankRequest]) -> Feed:
        payloads: list[Payload] = [self._decoder.decode(request).payload for request in group]
        # A packer of its own: its buffers belong to this feed from now on.
        packer = Packer(self._layout, sum(payload.rows for payload in payloads))
        return dict(packer.pack(payloads).feeds)


def feasible(made: Feeds, order: Order) -> list[int]:
    """Requests per run, up to the first with which a run of the mean size breaks the budget by itself."""
    model = session(order.graph)
    found: list[int] = []
    for batch in BATCHES:
        feed = made.equal(batch)
        found.append(batch)
        if min(_run_ms(model, feed) for _ in range(ROUNDS_MIN)) > order.budget_ms:
            break
    return found


def timed(order: Order, runs: dict[tuple[str, int], list[Feed]]) -> dict[tuple[str, int], list[float]]:
    """Median time of every run over rounds that go on until the seconds are over."""
    model = session(order.graph)
    rounds: list[dict[tuple[str, int], list[float]]] = []
    began = time.perf_counter()
    while len(rounds) < ROUNDS_MIN + 1 or time.perf_counter() - began < order.seconds:
        rounds.append({key: [_run_ms(model, feed) for feed in feeds] for key, feeds in runs.items()})
    measured = rounds[1:]  # the first one warms up
    return {key: np.median([one[key] for one in measured], axis=0).tolist() for key in runs}


def _run_ms(model: object, feed: Feed) -> float:
    began_ns = time.perf_counter_ns()
    model.run(None, feed)  # type: ignore[attr-defined]
    return (time.perf_counter_ns() - began_ns) / 1e6


if __name__ == "__main__":
    main()
