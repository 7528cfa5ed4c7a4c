"""What the load test itself costs: send lag and CPU against a null server, and folding a long run.

    python -m benchmarks.loadtest_bench --bundle build/demo/models/movies/1

Both transports in interleaved blocks, one client process on the last core, the null server on the others;
then three million records folded in a process of their own. Prints the tables of docs/measuring.md.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import get_args

import numpy as np

from loadtest.assess import Evidence, Pass, assess
from loadtest.client.sender import Seen
from loadtest.plan import prepare
from loadtest.records import DTYPE, ENDINGS, Records
from loadtest.result import Run, WorkloadFacts
from loadtest.run import execute
from loadtest.scenario.form import Class, Phase, Scenario, Slo, Transport, Workload
from loadtest.scenario.load import load
from loadtest.truth import Truth

RATES = (500, 1500, 2000)
BLOCK_S, WARM_UP_S = 6, 1
RECORDS, SECONDS, MESSAGES = 3_000_000, 600, 5000


def null_run(bundle: Path, transport: Transport, rate: int, seed: int) -> Run:
    """One block against the null server."""
    settings = [
        "target.kind=null",
        f"target.transport={transport}",
        f"rate_per_s={rate}",
        f"workload.bundle={bundle}",
        f"workload.seed={seed}",
        f"phases.0.duration_s={WARM_UP_S}",
        f"phases.1.duration_s={BLOCK_S}",
    ]
    return execute(prepare(load("steady", settings), lambda size, target: None)).run


def lag_table(bundle: Path, blocks: int) -> None:
    """Medians over the blocks, and the worst block's lag."""
    found: dict[tuple[str, int], list[Run]] = {}
    for block in range(blocks):
        for rate in RATES:
            for transport in get_args(Transport):
                found.setdefault((transport, rate), []).append(null_run(bundle, transport, rate, block))
    print("| transport | requests/s | send lag p50, p99 (worst block), ms | latency p50, p99, ms | CPU |")
    print("| --- | --- | --- | --- | --- |")
    for (transport, rate), runs in sorted(found.items()):
        numbers = [run.phases[1].numbers for run in runs]
        lag50, lag99 = (
            [_ms(each.send_lag.p50_ms) for each in numbers],
            [_ms(each.send_lag.p99_ms) for each in numbers],
        )
        p50 = median(_ms(each.latency.p50_ms) for each in numbers)
        p99 = median(_ms(each.latency.p99_ms) for each in numbers)
        cpu = median(run.client.cpu[0] for run in runs)
        lags = f"{median(lag50):.3f}, {median(lag99):.3f} ({max(lag99):.3f})"
        print(f"| {transport} | {rate} | {lags} | {p50:.2f}, {p99:.2f} | {cpu:.0%} |", flush=True)


def fold_table() -> None:
    """Time and memory of a long run's summary, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.loadtest_bench", "--fold"]
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def fold() -> None:
    """Make the records, then fold them: only the folding is timed; the memory is the process's peak."""
    evidence = long_run()
    began_s = time.perf_counter()
    run = assess(evidence).run
    took_s = time.perf_counter() - began_s
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{RECORDS:,} records: {took_s:.1f} s, peak {peak_gb:.2f} GB, verdict {run.judgement.verdict.name}")


def long_run() -> Evidence:
    """Ten minutes at 5,000/s: two classes, 1 % refused, labels and an idle reference for every message."""
    rng = np.random.default_rng(0)
    rows = np.zeros(RECORDS, DTYPE)
    rows["intended_ns"] = np.sort(rng.integers(0, SECONDS * 10**9, RECORDS))
    rows["message"] = rng.integers(0, MESSAGES, RECORDS)
    rows["class"] = rng.integers(0, 2, RECORDS)
    rows["sent_ns"] = rows["intended_ns"] + 50_000
    rows["done_ns"] = rows["sent_ns"] + (rng.lognormal(1.5, 0.6, RECORDS) * 1e6).astype(np.int64)
    rows["ending"], rows["step"], rows["server_us"] = ENDINGS.index("answered"), 1, 2000
    refused = rng.integers(0, RECORDS, RECORDS // 100)
    rows["ending"][refused], rows["reason"][refused] = ENDINGS.index("overloaded"), 1
    candidates = rng.integers(10, 400, MESSAGES)
    rows["candidates"] = rows["scored"] = candidates[rows["message"]]
    tops = np.stack([rng.permutation(10) for _ in range(MESSAGES)]).astype(np.int16)
    for at in range(0, RECORDS, 100_000):
        rows["top"][at : at + 100_000] = tops[rows["message"][at : at + 100_000]]
    offsets = np.concatenate([[0], np.cumsum(candidates)])
    total = int(offsets[-1])
    probes = np.cumsum(np.tile([[10**9, 10**7, 1000]], (SECONDS, 1)), axis=0)
    scenario = Scenario(
        version=1,
        name="long",
        rate_per_s=RECORDS / SECONDS,
        slo=Slo(budget_ms=25.0),
        workload=Workload(mix=(Class(name="a"), Class(name="b", budget_ms=30.0))),
        phases=(Phase(name="steady", duration_s=SECONDS),),
    )
    return Evidence(
        created="",
        scenario=scenario,
        records=Records(rows, ("", "OVERLOADED")),
        starts_ns=(0,),
        ends_ns=(SECONDS * 10**9,),
        passes=[Pass([Seen([""], probes, int((rows["done_ns"] - rows["sent_ns"]).sum()))], (), (), 0, None)],
        truth=Truth(
            labels=rng.integers(0, 5, total).astype(np.float32),
            offsets=offsets,
            prior_top=tops[::-1].copy(),
            alone_top=tops,
            against_top=tops,
            asked=np.ones(MESSAGES, np.bool_),
            alone_scores=rng.normal(size=total).astype(np.float32),
        ),
        determinism=None,
        workload=WorkloadFacts(
            requests="",
            messages=MESSAGES,
            sent_messages=MESSAGES,
            candidates_least=10,
            candidates_median=int(np.median(candidates)),
            candidates_most=399,
            bytes_median=0,
            sha256="",
        ),
        processes=1,
        cores=(),
        judged_per_s_max=None,
        calibrated="",
        schedule_sha256="",
        environment={},
    )


def _ms(value: object) -> float:
    return value if isinstance(value, float) else float("inf")


def main() -> None:
    """Parse the arguments and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loadtest_bench")
    parser.add_argument("--bundle", type=Path, default=Path("build/demo/models/movies/1"))
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--fold", action="store_true", help="only the folding, in this process")
    arguments = parser.parse_args()
    if arguments.fold:
        fold()
        return
    lag_table(arguments.bundle, arguments.blocks)
    fold_table()


if __name__ == "__main__":  # client processes import this module again
    main()
