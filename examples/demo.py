"""`make demo`: train, export, gate, serve, rank, load-test; ends in a summary that a newcomer understands.

    python -m examples.demo --out build/demo

Everything after training goes through the command line, as a user's would. Exit code 0 when every step did
what it should; the load test may say INCONCLUSIVE, UNSTABLE or INVALID on a noisy machine, and the summary
says so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.demo_page import milliseconds, render
from examples.movies.report import Report as Quality
from examples.movies.report import report as measure_quality
from examples.movies.spec import titles
from export.pipeline import export
from export.report import Report as ExportReport

RATE_PER_S = 100
LOAD_S = 12
WARM_UP_S = 2
SHOWN = 5
LOAD_VERDICT_CODES = (0, 1, 3, 4)
"""Every verdict is a result, INVALID too: other work may keep the client from sending in time. Anything else
means that the load test itself went wrong."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What the steps found, for the summary and the page.

    Attributes:
        ranking: (title, score, rank in the prior order) of the shown candidates, best first.
        load: the load test's `run.json`.
    """

    quality: Quality
    export: ExportReport
    bundle: Path
    ranking: list[tuple[str, float, int]]
    load: dict[str, Any]
    budget_ms: float
    seconds: dict[str, float]


def main(argv: list[str] | None = None) -> int:
    """Run every step and print the summary."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo")
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    out: Path = parser.parse_args(argv).out
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    demo = run(out)
    (out / "report.html").write_text(render(demo), encoding="utf-8")
    print("\n".join(["", *summary(demo), f"report        {out / 'report.html'}"]))
    return 0


def run(out: Path) -> Demo:
    """Do the work; `out` gets `models/`, `load/` and, from the caller, `report.html`."""
    seconds: dict[str, float] = {}
    with _timed(seconds, "train", "training the movies ranker"):
        quality = measure_quality()
    with _timed(seconds, "export", "exporting, quantizing and gating it"):
        # Imported here: the specification reads the trained weights.
        from examples.movies.spec import spec

        report = export(spec(), out / "models", source="examples.movies.spec:spec")
    bundle = out / "models" / report.model / str(report.version)
    budget_ms = json.loads((bundle / "bundle.json").read_text())["budget_ms"]
    requests = bundle / "requests" / "eval.podium"
    with _timed(seconds, "start", "starting the server"):
        server, target = _start(out / "models")
    try:
        ranking = _rank(target, report.model, requests)
        with _timed(seconds, "load", f"load test: {RATE_PER_S} requests/s for {LOAD_S} s"):
            load = _load(target, requests, budget_ms, out / "load")
    finally:
        server.terminate()
        code = server.wait(timeout=60)
    if code != 0:
        raise SystemExit(f"the server ended with exit code {code}")
    return Demo(quality, report, bundle, ranking, load, budget_ms, seconds)


def summary(demo: Demo) -> list[str]:
    """The closing lines."""
    quality, report, load = demo.quality, demo.export, demo.load
    variants = {entry.variant: entry.quality for entry in report.variants}
    lines = [
        f"data          {quality.source}",
        f"quality       nDCG@10 on {report.labelled:,} held-out requests:",
        f"                {'PyTorch':<26}{variants['fp32'].reference:.4f}",
        *(f"                {name:<26}{found.value:.4f}" for name, found in variants.items()),
        f"                {'prior (co-occurrence)':<26}{report.prior_ndcg or 0.0:.4f}",
        (
            f"personalised  other users' histories cost {quality.shuffled.mean:.4f} nDCG@10 "
            f"[{quality.shuffled.low:.4f}, {quality.shuffled.high:.4f}]"
        ),
        f"one ranking   {'title':<42}{'score':>8}  rank in the prior order",
    ]
    lines += [
        f"                {title[:42]:<42}{score:8.3f}  {place}" for title, score, place in demo.ranking
    ]
    found, latency = load["summary"], load["summary"]["latency"]
    refused = sum(entry["count"] for entry in found["refused"])
    lines += [
        (
            f"latency       p50 {milliseconds(latency['p50_ms'])}, p99 {milliseconds(latency['p99_ms'])}; "
            f"budget {demo.budget_ms:.0f} ms: {load['judgement']['verdict'].upper()}"
        ),
        f"at            {RATE_PER_S} requests/s of 100 candidates, open loop",
        f"refusals      {refused} of {found['scheduled']:,}",
        f"bundle        {demo.bundle} (serves {report.default_variant})",
    ]
    return lines


@contextmanager
def _timed(seconds: dict[str, float], step: str, sentence: str) -> Iterator[None]:
    print(f"{sentence} ...", flush=True)
    began = time.monotonic()
    yield
    seconds[step] = time.monotonic() - began
    print(f"  {seconds[step]:.1f} s", flush=True)


def _podium(*arguments: str | Path, codes: tuple[int, ...] = (0,)) -> str:
    """Run the command line and return what it printed."""
    command = [sys.executable, "-m", "podium", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode not in codes:
        raise SystemExit(f"podium {arguments[0]} ended with exit code {done.returncode}")
    return done.stdout


def _start(models: Path) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "podium", "serve", "--models", str(models)]
    command += [
        "--port",
        "0",
        "--ops-port",
        "0",
        "--set",
        "drain.lame_duck_s=0",
        "--set",
        "logs.level=warning",
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    line = server.stdout.readline()
    if "serving on " not in line:
        raise SystemExit(f"the server did not start: exit code {server.wait(timeout=60)}")
    return server, line.split("serving on ")[1].split(",")[0]


def _rank(target: str, model: str, requests: Path) -> list[tuple[str, float, int]]:
    answer = json.loads(_podium("rank", "--target", target, model, requests, "--json"))
    names = titles()
    return [
        (names.get(row["id"], str(row["id"])), row["score"], row["prior_rank"])
        for row in answer["ranking"][:SHOWN]
    ]


def _load(target: str, requests: Path, budget_ms: float, out: Path) -> dict[str, Any]:
    order: list[str | Path] = ["loadtest", "run", "--target", target, "--requests", requests]
    order += [
        "--labels",
        requests.with_name("labels.npz"),
        "--rate",
        str(RATE_PER_S),
        "--duration",
        str(LOAD_S),
    ]
    order += [
        "--warmup",
        str(WARM_UP_S),
        "--budget-ms",
        str(budget_ms),
        "--seed",
        "0",
        "--out",
        out,
        "--json",
    ]
    found: dict[str, Any] = json.loads(_podium(*order, codes=LOAD_VERDICT_CODES))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
