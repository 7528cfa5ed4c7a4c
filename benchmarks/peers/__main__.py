"""`make bench-peers`: the same graph behind raw ONNX Runtime, Podium, Triton and MLServer, on one core.

    python -m benchmarks.peers [--blocks 7] [--seconds 1.0] [--out build/peers]

Servers are pinned to core 0 and all stand ready, idle, while one is measured; the client is pinned to core 1:
h2load for unary calls, the load test's stream door for RankStream. Closed loop, 64 in flight over 4
connections. A block measures every peer at every size once, in an order that turns from block to block; the
share of raw is taken inside the block. Before and after each load the peer's scores for one request are
compared with raw ONNX Runtime's. Writes table.md, figure.svg and result.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import platform
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import grpc

from benchmarks.bench import build_bundle
from benchmarks.h2load import LoadError
from benchmarks.peers.figure import svg
from benchmarks.peers.install import BUILD, venv
from benchmarks.peers.mlserver import MLServer
from benchmarks.peers.peer import Absent, Figure, Peer
from benchmarks.peers.podium import PodiumStream, PodiumUnary
from benchmarks.peers.result import Block, row_of
from benchmarks.peers.session_run import SessionRun
from benchmarks.peers.table import markdown
from benchmarks.peers.triton import Triton
from benchmarks.peers.workload import SIZES, Case, cases

WARM_UP_REQUESTS = 512
REQUESTS_MIN = 256
RESTARTS_MAX = 3


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of load per figure, about")
    parser.add_argument("--out", type=Path, default=BUILD)
    arguments = parser.parse_args()
    bundle = build_bundle()
    variant = json.loads((bundle / "bundle.json").read_text())["default_variant"]
    graph = bundle / variant / "fused.onnx"
    run = Run(peers(bundle.parent.parent, graph, arguments.out), cases(graph), arguments.seconds)
    try:
        run.start()
        blocks = [run.block(number) for number in range(arguments.blocks)]
    finally:
        run.stop()
    rows = [row_of(peer.name, blocks, SessionRun.name, run.remark(peer)) for peer in run.peers]
    about = (
        f"{dt.date.today()}, {_cpu()}, {variant} graph; medians over {arguments.blocks} blocks of "
        f"{arguments.seconds:g} s per figure [95 % interval]; 64 in flight, server on one core"
    )
    table = f"{about}\n\n{markdown(rows, SIZES)}"
    print(table)
    (arguments.out / "table.md").write_text(table)
    (arguments.out / "figure.svg").write_text(
        svg(rows, SIZES, "One ranker on one core, 64 requests in flight")
    )
    measured = [
        {
            name: {size: dataclasses.asdict(one) for size, one in found.items()}
            for name, found in block.items()
        }
        for block in blocks
    ]
    result = {"about": about, "versions": run.versions, "blocks": measured}
    (arguments.out / "result.json").write_text(json.dumps(result, indent=1))
    return 0


def peers(models: Path, graph: Path, out: Path) -> list[Peer]:
    """In the order of the table; each starts after those before it."""
    unary = PodiumUnary(out / "podium", models)
    return [
        SessionRun(graph),
        unary,
        PodiumStream(unary),
        Triton(out / "triton", venv("triton"), graph),
        MLServer(out / "mlserver", venv("mlserver"), graph),
    ]


class Run:
    """The peers that are there, and what happened to them."""

    def __init__(self, peers: Sequence[Peer], cases: Sequence[Case], seconds: float) -> None:
        self.peers = peers
        self.versions: dict[str, str] = {}
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
                wanted = max(REQUESTS_MIN, round(rate * self._seconds))
                self._requests[peer.name, case.candidates] = wanted

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
        return self.versions[peer.name] + "".join(fates)

    def stop(self) -> None:
        """End all, last first."""
        for peer in reversed(self.peers):
            peer.stop()

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


def _cpu() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return model[1] if model else platform.machine()


if __name__ == "__main__":
    raise SystemExit(main())
