"""`make bench`: raw ONNX Runtime beside Podium on one core, interleaved, as ratios with intervals.

    python -m benchmarks.bench [--blocks 7] [--json FILE]

Method (docs/measuring.md): the server is pinned to core 0, the client to core 1 (h2load for unary calls, the
load test's stream door for RankStream), raw ONNX Runtime to core 0 while the server is idle. Throughput:
closed loop, 64 in flight over 4 connections. The denominator is the best raw requests/s over 1 to 16 requests
per run, same graph file, feeds prebuilt. A block measures every figure once; the ratio is taken inside the
block; the tables show medians over blocks with a 95 % interval. A message costs the server CPU time measured
with a null engine behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import h2load
from benchmarks.bench_model import request, spec
from benchmarks.server_process import SERVER_CORE, ServerProcess, rss_mib
from benchmarks.stream_load import StreamLoad
from export.request_set import message_of

BUILD = Path("build/bench")
SIZES = (20, 100, 500)
RAW_REQUESTS = (1, 2, 4, 8, 16)
RAW_S = 0.4
LOAD_REQUESTS = {20: 3000, 100: 2500, 500: 1200}
IN_FLIGHT = (4, 16)
"""Connections, and requests in flight on each."""
DOORS = ("unary", "stream")
MUST = {("unary", 100): 0.42, ("unary", 500): 0.62}
MUST |= {("stream", 20): 0.15, ("stream", 100): 0.50, ("stream", 500): 0.68}
GOAL = {("stream", 100): 0.62, ("stream", 500): 0.80}
MUST_PER_S = {("stream", 20): 4500}
COST_MUST_US = {"unary": 190, "stream": 80}
COST_REQUESTS = 6000
NULL_ENGINE = ['engine.kind="fake"', "engine.fake.overhead_ms=0", "engine.fake.row_us=0"]


class Raw:
    """The raw process, pinned to the server's core."""

    def __init__(self, graph: Path) -> None:
        self._process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, sys.executable, "-m", "benchmarks.raw", str(graph)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()
        self.rss_mib = rss_mib(self._process.pid)

    def measure(self, candidates: int, requests: int) -> dict[str, float]:
        """Order one measurement and wait for it."""
        assert self._process.stdin is not None
        print(candidates, requests, RAW_S, file=self._process.stdin, flush=True)
        return self._read()

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, float]:
        assert self._process.stdout is not None
        answer: dict[str, float] = json.loads(self._process.stdout.readline())
        return answer


def build_bundle() -> Path:
    """Export the benchmark's model once; return the folder of its version."""
    models = BUILD / "models"
    if not (models / "bench").is_dir():
        subprocess.run(
            [sys.executable, "-m", "export", "benchmarks.bench_model:spec", "--out", str(models)], check=True
        )
    return max((models / "bench").iterdir(), key=lambda path: int(path.name))


def write_bodies() -> dict[int, Path]:
    """One framed request per size."""
    model = spec()
    generator = np.random.default_rng(1)
    return {
        size: h2load.write_body(
            BUILD / f"request-{size}.bin",
            message_of(model, request(generator, size), "bench"),
        )
        for size in SIZES
    }


class Doors:
    """A server with a client at each of its doors."""

    def __init__(self, models: Path, sets: list[str]) -> None:
        # The budget is lifted: closed loop at 64 in flight is a throughput measurement, it queues on purpose.
        self.server = ServerProcess.start(models, ["models.bench.budget_ms=60000", *sets])
        self._stream = StreamLoad(self.server.port, IN_FLIGHT[0])

    def run(self, door: str, body: Path, requests: int) -> tuple[float, float]:
        """Requests/s through one door, and the server's CPU per request in µs."""
        connections, streams = IN_FLIGHT
        before_s = self.server.cpu_s()
        if door == "unary":
            load = h2load.run(
                self.server.port, body, requests=requests, connections=connections, streams=streams
            )
        else:
            load = self._stream.run(body, requests=requests, in_flight=connections * streams)
        return load.requests_per_s, (self.server.cpu_s() - before_s) / requests * 1e6

    def stop(self) -> None:
        """End both."""
        self._stream.stop()
        self.server.stop()


def measure_block(raw: Raw, served: Doors, null: Doors, bodies: dict[int, Path]) -> dict[str, float]:
    """Measure everything once, raw and served in turn."""
    figures: dict[str, float] = {}
    for size in SIZES:
        best = max(raw.measure(size, requests)["requests_per_s"] for requests in RAW_REQUESTS)
        figures[f"raw_{size}"] = best
        for door in DOORS:
            rate, cpu_us = served.run(door, bodies[size], LOAD_REQUESTS[size])
            figures[f"{door}_{size}"] = rate
            figures[f"{door}_ratio_{size}"] = rate / best
            figures[f"{door}_cpu_us_{size}"] = cpu_us
    for door in DOORS:
        figures[f"{door}_cost_us"] = null.run(door, bodies[20], COST_REQUESTS)[1]
    alone = raw.measure(20, 1)["run_p50_us"]
    single = h2load.run(served.server.port, bodies[20], requests=600, connections=1, streams=1)
    figures["added_ms_20"] = (single.p50_us - alone) / 1e3
    return figures


def main() -> int:
    """Measure and print; exit code 1 if a must is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    bundle = build_bundle()
    bodies = write_bodies()
    variant = json.loads((bundle / "bundle.json").read_text())["default_variant"]
    raw = Raw(bundle / variant / "fused.onnx")
    served = Doors(bundle.parent.parent, [])
    memory_mib = served.server.rss_mib() - raw.rss_mib
    null = Doors(bundle.parent.parent, NULL_ENGINE)
    for door in DOORS:  # warm up both sides
        null.run(door, bodies[20], 500)
        for size in SIZES:
            served.run(door, bodies[size], 300)
    try:
        blocks = [measure_block(raw, served, null, bodies) for _ in range(arguments.blocks)]
        loaded_mib = served.server.rss_mib()
    finally:
        raw.stop()
        null.stop()
        served.stop()
    figures = {key: [block[key] for block in blocks] for key in blocks[0]}
    print_tables(figures, variant, memory_mib, loaded_mib)
    ready = measure_ready()
    if arguments.json:
        result = {"blocks": blocks, "variant": variant, "memory_over_raw_mib": memory_mib, "ready_s": ready}
        arguments.json.write_text(json.dumps(result, indent=1))
    return 1 if missed(figures) else 0


def missed(figures: dict[str, list[float]]) -> list[str]:
    """The musts that are not met at the worse end of the interval."""
    found = [
        f"{door} {size}"
        for (door, size), must in MUST.items()
        if interval(figures[f"{door}_ratio_{size}"])[1] < must
    ]
    found += [
        f"{door} {size} requests/s"
        for (door, size), must in MUST_PER_S.items()
        if interval(figures[f"{door}_{size}"])[1] < must
    ]
    found += [
        f"{door} cost"
        for door, must in COST_MUST_US.items()
        if interval(figures[f"{door}_cost_us"])[2] > must
    ]
    return found + (["added latency"] if interval(figures["added_ms_20"])[2] > 0.7 else [])


def measure_ready(starts: int = 5) -> dict[str, float]:
    """Process start to ready, median seconds, for whatever bundles the demo and the tests have built."""
    ready: dict[str, float] = {}
    for models in (Path("build/demo/models"), Path("build/lambdarank/models"), BUILD / "models"):
        if not models.is_dir():
            continue
        times = []
        for _ in range(starts):
            environ = {"PATH": os.environ["PATH"]}
            server = ServerProcess.start(models, environ=environ)
            times.append(server.ready_s)
            server.stop()
        ready[str(models)] = float(np.median(times))
        print(f"ready: {models}: {ready[str(models)]:.2f} s (median of {starts}; must <= 2)")
    return ready


def interval(values: list[float]) -> tuple[float, float, float]:
    """Median over blocks with its 95 % percentile-bootstrap interval."""
    draws = np.random.default_rng(0).choice(values, (10_000, len(values)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(np.median(values)), float(low), float(high)


def print_tables(figures: dict[str, list[float]], variant: str, memory_mib: float, loaded_mib: float) -> None:
    """Print the markdown tables that docs/measuring.md quotes."""

    def show(key: str, form: str) -> str:
        median, low, high = (format(value, form) for value in interval(figures[key]))
        return f"{median} [{low}, {high}]"

    print(f"variant: {variant}; medians over {len(figures['added_ms_20'])} blocks [95 % interval]")
    print("| candidates | door | raw requests/s | Podium requests/s | ratio | must | goal | CPU µs/request |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for size in SIZES:
        for door in DOORS:
            cells = [show(f"raw_{size}", ".0f"), show(f"{door}_{size}", ".0f")]
            cells.append(show(f"{door}_ratio_{size}", ".3f"))
            cells += [str(bars.get((door, size), "-")) for bars in (MUST, GOAL)]
            cells.append(show(f"{door}_cpu_us_{size}", ".0f"))
            print(f"| {size} | {door} | {' | '.join(cells)} |")
    print("| a message's cost, null engine, 20 candidates | CPU µs | must |")
    print("| --- | --- | --- |")
    for door, must in COST_MUST_US.items():
        print(f"| {door} | {show(f'{door}_cost_us', '.0f')} | {must} |")
    added = show("added_ms_20", ".3f")
    print(f"added latency at 1 in flight, 20 candidates, p50: {added} ms (must 0.7, goal 0.4)")
    print(f"memory when ready: {memory_mib:.0f} MiB over the raw process (must 120)")
    print(f"memory after the load: {loaded_mib:.0f} MiB in all")
    print(f"musts missed: {', '.join(missed(figures)) or 'none'}")


if __name__ == "__main__":
    raise SystemExit(main())
