"""`make bench-peers`: the same graph behind raw ONNX Runtime, Podium, Triton and MLServer, on one core.

    python -m benchmarks.peers [--blocks 7] [--seconds 1.0] [--out build/peers]

Servers are pinned to core 0 and all stand ready, idle, while one is measured; the client is pinned to core 1:
h2load for unary calls, the load test's stream door for RankStream. Closed loop, 64 in flight over 4
connections. A block measures every peer at every size once, in an order that turns from block to block; the
share of raw is taken inside the block. A peer whose documentation says that a setting is found by experiment
runs, at each size, the setting that was fastest there just before the blocks; Podium runs as it is. Before
and after each load the peer's scores for one request are compared with raw ONNX Runtime's. Writes table.md,
figure.svg and result.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import platform
import re
from pathlib import Path

from benchmarks.bench import build_bundle
from benchmarks.peers.figure import svg
from benchmarks.peers.install import BUILD, venv
from benchmarks.peers.mlserver import MLServer
from benchmarks.peers.peer import Peer
from benchmarks.peers.podium import PodiumStream, PodiumUnary
from benchmarks.peers.result import row_of
from benchmarks.peers.run import Run
from benchmarks.peers.session_run import SessionRun
from benchmarks.peers.table import markdown
from benchmarks.peers.triton import Triton
from benchmarks.peers.workload import SIZES, cases


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
    (arguments.out / "figure.svg").write_text(svg(rows, SIZES))
    measured = [
        {
            name: {size: dataclasses.asdict(one) for size, one in found.items()}
            for name, found in block.items()
        }
        for block in blocks
    ]
    result = {"about": about, "versions": run.versions, "settings": run.settings, "blocks": measured}
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


def _cpu() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return model[1] if model else platform.machine()


if __name__ == "__main__":
    raise SystemExit(main())
