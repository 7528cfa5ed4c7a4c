"""Raw ONNX Runtime as a process of its own: the denominator of every ratio.

    python -m benchmarks.raw GRAPH

Reads lines `CANDIDATES REQUESTS_PER_RUN SECONDS` from standard input, answers each with one JSON line:
requests per second, and the median time of one run in microseconds. Feeds are built before the clock starts.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import onnxruntime as ort

from benchmarks.bench_sizes import FEATURES, HISTORY, ITEMS

FEEDS = 8
"""Different feeds in turn, so that no run finds its inputs in the cache because the last one left them."""


def feeds(candidates: int, requests: int, seed: int) -> dict[str, np.ndarray]:
    """One run's inputs for `requests` requests of `candidates` candidates each."""
    generator = np.random.default_rng(seed)
    rows = candidates * requests
    return {
        "history": generator.integers(1, ITEMS, (requests, HISTORY)),
        "history_length": generator.integers(1, HISTORY + 1, requests),
        "item": generator.integers(1, ITEMS, rows),
        "features": generator.standard_normal((rows, FEATURES), dtype=np.float32),
        "row_to_context": np.repeat(np.arange(requests), candidates),
    }


def session(graph: str) -> ort.InferenceSession:
    """A session with the server's options and one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def measure(model: ort.InferenceSession, candidates: int, requests: int, seconds: float) -> dict[str, float]:
    """Run for `seconds` and report the rate."""
    prepared = [feeds(candidates, requests, seed) for seed in range(FEEDS)]
    for feed in prepared:
        model.run(None, feed)
    times_ns: list[int] = []
    began_ns = time.perf_counter_ns()
    while (now_ns := time.perf_counter_ns()) - began_ns < seconds * 1e9:
        model.run(None, prepared[len(times_ns) % FEEDS])
        times_ns.append(time.perf_counter_ns() - now_ns)
    took_s = (time.perf_counter_ns() - began_ns) / 1e9
    return {
        "requests_per_s": len(times_ns) * requests / took_s,
        "run_p50_us": float(np.median(times_ns)) / 1e3,
    }


def main() -> None:
    """Answer measurement orders until standard input ends."""
    model = session(sys.argv[1])
    model.run(None, feeds(100, 1, 0))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        candidates, requests, seconds = line.split()
        print(json.dumps(measure(model, int(candidates), int(requests), float(seconds))), flush=True)


if __name__ == "__main__":
    main()
