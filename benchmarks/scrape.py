"""What a scrape of /metrics costs, and whether it moves p99 under load.

    python -m benchmarks.scrape [--pairs 20] [--block-s 2] [--json FILE]

Three questions. (1) How long does a scrape take, from request to last byte, while the server is idle, and how
much of the server's CPU? (2) Does p99 move under load while somebody scrapes? Pairs of blocks of the same
Poisson load, one with a scrape every 0.5 s (far more often than Prometheus asks) and one without, in random
order; the ratio of their p99s, its median over pairs and a 95 % bootstrap interval. PASS if the interval ends
below 1.05, FAIL if it begins above, else INCONCLUSIVE. (3) What do the counters cost per request?

The server is pinned to core 0, the client and the scraper to core 1, as everywhere here (docs/measuring.md).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import uvloop

from benchmarks.server_process import CLIENT_CORE, ServerProcess
from loadtest.client import doors
from loadtest.client.door import Door, Ended
from server.metrics import Metrics
from tests.bundles.tiny import TinyRanker

COST_MS_MAX = 5.0
MOVE_MAX = 1.05
SCRAPES = 200
EVERY_S = 0.5
RATE_PER_S = 300
TIMEOUT_S = 10.0
SETS = ('engine.kind="fake"', "engine.fake.overhead_ms=1", "engine.fake.row_us=5", "logs.access_per_s=0")


def main() -> None:
    """Measure and print; exit code 0 whatever it finds, the verdicts are for the reader."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--block-s", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    ranker = TinyRanker(name="movies", variants=("fp32",), budget_ms=1000)
    with tempfile.TemporaryDirectory() as folder:
        ranker.write(Path(folder))
        server = ServerProcess.start(Path(folder), SETS)
        try:
            message = ranker.message(ranker.example(100)).SerializeToString()
            ratios = uvloop.run(pairs(server, message, arguments.pairs, arguments.block_s))
            found = {**cost(server), "count_us": count_us(), **moved(ratios)}
        finally:
            server.stop()
    print(
        f"scrape: median {found['scrape_ms']:.2f} ms, p99 {found['scrape_p99_ms']:.2f} ms, "
        f"server CPU {found['scrape_cpu_ms']:.2f} ms, {found['scrape_bytes']:,} bytes, "
        f"{found['series']} series (must: <= {COST_MS_MAX} ms): {found['cost']}\n"
        f"p99 with scrapes / without: {found['ratio']:.3f} [{found['low']:.3f}, {found['high']:.3f}] "
        f"over {arguments.pairs} pairs (must: <= {MOVE_MAX}): {found['move']}\n"
        f"counters of one answered request: {found['count_us']:.2f} µs"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))


def cost(server: ServerProcess) -> dict[str, float | int | str]:
    """(1): an idle server that has counted much, so that no series is missing."""
    took_ms = np.zeros(SCRAPES)
    cpu_s = server.cpu_s()
    for at in range(SCRAPES):
        began_s = time.perf_counter()
        text = server.metrics()
        took_ms[at] = (time.perf_counter() - began_s) * 1e3
    cpu_ms = (server.cpu_s() - cpu_s) / SCRAPES * 1e3
    return {
        "scrape_ms": float(np.median(took_ms)),
        "scrape_p99_ms": float(np.quantile(took_ms, 0.99)),
        "scrape_cpu_ms": cpu_ms,
        "scrape_bytes": len(text),
        "series": sum(not line.startswith("#") for line in text.splitlines()),
        "cost": "PASS" if np.median(took_ms) <= COST_MS_MAX else "FAIL",
    }


def moved(ratios: list[float]) -> dict[str, float | str]:
    """(2): the verdict over the pairs' ratios."""
    values, rng = np.array(ratios), np.random.default_rng(0)
    medians = np.median(rng.choice(values, (10_000, len(values))), axis=1)
    low, high = (float(value) for value in np.quantile(medians, [0.025, 0.975]))
    verdict = "PASS" if high <= MOVE_MAX else "FAIL" if low > MOVE_MAX else "INCONCLUSIVE"
    return {"ratio": float(np.median(values)), "low": low, "high": high, "move": verdict}


async def pairs(server: ServerProcess, message: bytes, count: int, block_s: float) -> list[float]:
    """p99 with scrapes / p99 without, per pair; the first block warms up and is thrown away."""
    door = doors.make("stream", f"127.0.0.1:{server.port}", 2)
    await door.open()
    await p99_ms(door, message, block_s, seed=0)
    order = random.Random(0)
    ratios = []
    for seed in range(count):
        found: dict[bool, float] = {}
        for scraped in order.sample([True, False], 2):
            with scraping(server) if scraped else nothing():
                found[scraped] = await p99_ms(door, message, block_s, seed)
        ratios.append(found[True] / found[False])
    await door.close()
    return ratios


async def p99_ms(door: Door, message: bytes, block_s: float, seed: int) -> float:
    """p99 of one block of an open loop, from the scheduled instant on; a pair's two blocks share a schedule.

    Raises:
        RuntimeError: a request was refused.
    """
    gaps = np.random.default_rng(seed).exponential(1 / RATE_PER_S, int(RATE_PER_S * block_s))
    due_ns = (np.cumsum(gaps) * 1e9).astype(np.int64) + time.monotonic_ns() + 20_000_000
    took_ns = np.zeros(len(due_ns), np.int64)
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = len(due_ns)

    def settle(number: int, at_ns: int, said: bytes | Ended) -> None:
        nonlocal left
        took_ns[number] = at_ns - due_ns[number]
        left -= 1
        if isinstance(said, Ended) and not over.done():
            over.set_exception(RuntimeError(f"{said.ending} {said.reason}"))
        elif left == 0 and not over.done():
            over.set_result(None)

    for number, at_ns in enumerate(due_ns):
        await asyncio.sleep(max(int(at_ns) - time.monotonic_ns(), 0) / 1e9)
        door.ask(number, message, TIMEOUT_S, settle)
    await over
    return float(np.quantile(took_ns, 0.99)) / 1e6


@contextmanager
def scraping(server: ServerProcess) -> Iterator[None]:
    """Scrape every half second from another thread; the client does not read the text, to stay idle."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(EVERY_S):
            with urlopen(f"{server.ops}/metrics") as reply:
                reply.read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def nothing() -> Iterator[None]:
    """The other block."""
    yield


def count_us(requests: int = 100_000) -> float:
    """(3): what `Ranking` writes for one answered request, in this process, on the client's core."""
    metrics = Metrics(["movies"], [0.025])
    began_ns = time.perf_counter_ns()
    for _ in range(requests):
        metrics.requests.add("movies", "1", "scored")
        metrics.steps.add("movies", "full")
        metrics.request_duration.observe(0.0123, "movies", "scored")
        for stage in ("decode", "queue", "form", "run", "reply"):
            metrics.stage_duration.observe(0.0023, "movies", stage)
        metrics.candidates.add("movies", "scored", amount=100)
        metrics.budget_requests.add("movies", "default")
        metrics.slack.observe(0.0123, "movies")
    return (time.perf_counter_ns() - began_ns) / requests / 1e3


if __name__ == "__main__":
    main()
