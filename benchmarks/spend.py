"""Where a request's CPU goes on one core: `python -m benchmarks.spend [--json FILE]`; needs perf and py-spy.

The server runs pinned to core 0 under h2load (64 in flight) on core 1. Its CPU time per request comes from
/proc; `perf` says in which library it was spent; the interpreter's share is divided among our modules by
`py-spy --gil`, which samples what the thread that holds the interpreter is doing. Three clocks, none exact:
good for finding what to look at, not for publishing a tenth of a microsecond.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from benchmarks import h2load
from benchmarks.bench import IN_FLIGHT, SIZES, build_bundle, write_bodies
from benchmarks.server_process import ServerProcess

SAMPLE_S = 4
LIBRARIES = {
    "onnxruntime": "model run",
    "kernel": "kernel",
    "cygrpc": "gRPC, event loop",
    "uvloop": "gRPC, event loop",
    "loop.cpython": "gRPC, event loop",
}
"""Part of a library's file name -> stage; every other library works for the interpreter."""
MODULES = {
    "grpc/": "gRPC, event loop",
    "uvloop/": "gRPC, event loop",
    "asyncio/": "gRPC, event loop",
    "http2/": "HTTP/2, calls",
    "hpack/": "HTTP/2, calls",
    "server/service.py": "HTTP/2, calls",
    "server/door/": "HTTP/2, calls",
    "server/wire.py": "decode",
    "server/lift.py": "decode",
    "server/tensor_field.py": "decode",
    "server/finite.py": "decode",
    "server/engine/layout.py": "decode",
    "server/core/": "schedule",
    "server/dispatcher.py": "schedule",
    "server/engine/tensors.py": "pack, split",
    "server/engine/ort.py": "pack, split",
    "onnxruntime/": "pack, split",
    "server/reply.py": "reply",
    "measures/": "reply",
    "protos/varint.py": "reply",
    "server/metrics.py": "count",
    "server/ranking.py": "ranking",
}
"""Part of a file's path -> stage; a sample belongs to the innermost of its frames that is listed."""
STAGES = (
    "model run",
    "kernel",
    "gRPC, event loop",
    "HTTP/2, calls",
    "decode",
    "schedule",
    "pack, split",
    "reply",
    "count",
    "ranking",
    "other",
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spend")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    bundle, bodies = build_bundle(), write_bodies()
    table = {size: measure(bundle.parent.parent, bodies[size]) for size in SIZES}
    print("| µs of CPU per request | " + " | ".join(map(str, SIZES)) + " |")
    print("| --- |" + " --- |" * len(SIZES))
    for stage in STAGES:
        print(f"| {stage} | " + " | ".join(f"{table[size].get(stage, 0):.0f}" for size in SIZES) + " |")
    print("| in all | " + " | ".join(f"{sum(table[size].values()):.0f}" for size in SIZES) + " |")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1))
    return 0


def measure(models: Path, body: Path) -> dict[str, float]:
    """Microseconds of CPU per request by stage."""
    server = ServerProcess.start(models, ["models.bench.budget_ms=60000"])
    try:
        load = _Load(server, body)
        with tempfile.TemporaryDirectory() as folder:
            libraries = _libraries(server.process.pid, Path(folder) / "perf")
            modules = _modules(server.process.pid, Path(folder) / "spy")
        cpu_us = load.stop()
    finally:
        server.stop()
    spent = {stage: cpu_us * share for stage, share in libraries.items()}
    interpreter_us = spent.pop("interpreter")
    for stage, share in modules.items():
        spent[stage] = spent.get(stage, 0.0) + interpreter_us * share
    return spent


class _Load:
    """A closed loop that goes on until it is stopped."""

    def __init__(self, server: ServerProcess, body: Path) -> None:
        self._server = server
        self._body = body
        self._go_on = True
        self._requests = 0
        self._run(500)
        self._requests = 0
        self._before_s = server.cpu_s()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def stop(self) -> float:
        """End it; the server's CPU per request in µs."""
        self._go_on = False
        self._thread.join()
        return (self._server.cpu_s() - self._before_s) / self._requests * 1e6

    def _loop(self) -> None:
        while self._go_on:
            self._run(1000)

    def _run(self, requests: int) -> None:
        connections, streams = IN_FLIGHT
        h2load.run(self._server.port, self._body, requests=requests, connections=connections, streams=streams)
        self._requests += requests


def _libraries(pid: int, out: Path) -> dict[str, float]:
    """Share of CPU by stage, `interpreter` for what is none of the listed libraries."""
    record = ["perf", "record", "-q", "-F", "1999", "-p", str(pid), "-o", str(out), "--", "sleep"]
    subprocess.run([*record, str(SAMPLE_S)], check=True, capture_output=True)
    report = ["perf", "report", "-i", str(out), "--stdio", "--sort", "dso"]
    text = subprocess.run(report, check=True, capture_output=True, text=True).stdout
    shares: dict[str, float] = collections.defaultdict(float)
    for percent, library in re.findall(r"^\s*([\d.]+)%\s+(\S+)", text, re.MULTILINE):
        stage = next((name for part, name in LIBRARIES.items() if part in library), "interpreter")
        shares[stage] += float(percent) / 100
    return shares


def _modules(pid: int, out: Path) -> dict[str, float]:
    """Share of the interpreter's time by stage."""
    spy = [str(Path(sys.executable).parent / "py-spy"), "record", "-p", str(pid), "-r", "500", "-f", "raw"]
    spy += ["-d", str(SAMPLE_S), "-o", str(out), "--nonblocking", "--gil", "--full-filenames"]
    subprocess.run(spy, check=True, capture_output=True)
    counts: dict[str, int] = collections.Counter()
    for line in out.read_text().splitlines():
        stack, _, samples = line.rpartition(" ")
        counts[_stage(stack.split(";"))] += int(samples)
    total = sum(counts.values())
    return {stage: count / total for stage, count in counts.items()}


def _stage(stack: list[str]) -> str:
    for frame in reversed(stack):
        for part, stage in MODULES.items():
            if part in frame:
                return stage
    return "other"


if __name__ == "__main__":
    raise SystemExit(main())
