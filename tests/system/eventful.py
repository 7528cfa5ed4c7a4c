"""Servers to which everything happens that the dashboards have a panel for, while Prometheus looks on.

Three processes: `crowded` has two models and more requests than it can answer, a version that it refuses to
load and callers who err; `ill` has a run that hangs, then runs that take far longer than the warm-up said;
`reading` ranks texts. The engines of the first two are scripted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from podium.v1 import ranking_pb2 as pb
from tests.bundles.tiny import TinyRanker
from tests.bundles.worded import WORDED
from tests.e2e.calls import Caller, dial
from tests.e2e.running import RunningServer
from tests.system.dashboards import Span
from tests.system.prometheus import Prometheus, running

SHOP = TinyRanker(name="shop", variants=("fp32",), budget_ms=60)
NEWS = TinyRanker(name="news", variants=("fp32",), budget_ms=150)
CALM = TinyRanker(name="calm", variants=("fp32",), budget_ms=6000)
BROKEN = TinyRanker(name="broken", variants=("fp32",))
ILL = TinyRanker(name="ill", variants=("fp32",), budget_ms=150)
STRANGER = TinyRanker(name="stranger")
"""No server has it."""
MODELS = {"shop", "news", "calm", "broken", "ill", "worded"}
LOAD_S = 12.0
BURST = 120
CALLERS, CALLS = 3, 1000
"""That wait at once, so that the collector has something to look through: it does so each 20,000 objects."""
HANGS_MS, SLOW_MS, SLOW_RUNS = 60_000, 250, range(1, 14)
SCRIPTS = {
    "crowded": {"overhead_ms": "3", "row_us": "20"},
    "ill": {
        "overhead_ms": "10",
        "stall_runs.0": f"{HANGS_MS}",
        **{f"stall_runs.{run}": f"{SLOW_MS}" for run in SLOW_RUNS},
    },
}


@dataclass(frozen=True, slots=True)
class Watched:
    """What Prometheus has seen."""

    prometheus: Prometheus
    servers: dict[str, RunningServer]
    span: Span


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Start the servers and Prometheus, let it all happen, and leave them running, idle."""
    SHOP.write(folder / "crowded")
    NEWS.write(folder / "crowded")
    CALM.write(folder / "crowded")
    BROKEN.write(folder / "crowded")
    (folder / "crowded" / "broken" / "1" / "bundle.json").write_text("{}")
    ILL.write(folder / "ill")
    WORDED.write(folder / "reading")
    with ExitStack() as stack:
        with ThreadPoolExecutor() as starters:
            names = ("crowded", "ill", "reading")
            servers = dict(zip(names, starters.map(lambda name: _start(folder, name), names), strict=True))
        for server in servers.values():
            stack.callback(server.stop)
        targets = [server.ops_url.removeprefix("http://") for server in servers.values()]
        prometheus = stack.enter_context(running(folder, targets))
        began_s = _newest_s(prometheus)
        _all_at_once(servers)
        over_s = time.time()
        prometheus.wait_for(lambda now: _newest_s(now) > over_s, 10)
        yield Watched(prometheus, servers, Span(began_s, _newest_s(prometheus)))


def _start(folder: Path, name: str) -> RunningServer:
    script = [f"--set=engine.fake.{key}={value}" for key, value in SCRIPTS.get(name, {}).items()]
    engine = ["--engine=fake"] if script else []
    return RunningServer.start(folder / name, folder / f"{name}.txt", [*engine, *script])


def _newest_s(prometheus: Prometheus) -> float:
    """When the server that was scraped longest ago was."""
    return min(float(one["value"][1]) for one in prometheus.query("timestamp(up)"))


def _all_at_once(servers: dict[str, RunningServer]) -> None:
    ends_s = time.monotonic() + LOAD_S
    deeds: list[tuple[str, Callable[[Caller, float], None]]] = [
        *[("crowded", _queue)] * CALLERS,
        ("crowded", _crowd),
        ("crowded", _err),
        ("ill", _fall_ill),
        ("reading", _read),
    ]
    failures: list[BaseException] = []

    def do(name: str, deed: Callable[[Caller, float], None]) -> None:
        try:
            with dial(servers[name].target) as caller:
                deed(caller, ends_s)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=do, args=deed) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _crowd(caller: Caller, ends_s: float) -> None:
    """Bursts of two models and all classes, one upon the other."""
    burst = [_request(ranker, seed) for seed in range(BURST // 2) for ranker in (SHOP, NEWS)]
    while time.monotonic() < ends_s:
        for call in caller.send_all(burst):
            call.answer()


def _queue(caller: Caller, ends_s: float) -> None:
    """Once, as many as a connection takes; they may wait for seconds, and do."""
    for call in caller.send_all([CALM.message(CALM.example(3))] * CALLS):
        call.answer()


def _request(ranker: TinyRanker, seed: int) -> pb.RankRequest:
    request = ranker.message(ranker.example(20 + seed % 30, seed))
    request.importance = 1 + seed % 3  # type: ignore[assignment]
    if seed % 10 == 0:
        price = np.full(request.candidates.count, np.nan, np.float32)
        price[1:] = 1.0
        request.candidates.columns[1].data = price.tobytes()
    return request


def _err(caller: Caller, ends_s: float) -> None:
    """A model that is not here; a request without candidates."""
    while time.monotonic() < ends_s:
        caller.send(STRANGER.message(STRANGER.example(3))).refused()
        caller.send(pb.RankRequest(model=SHOP.name)).refused()
        time.sleep(0.2)


def _fall_ill(caller: Caller, ends_s: float) -> None:
    """One is lost in a run that hangs, others expire behind it; then the slow runs, one by one."""
    request = ILL.message(ILL.example(5))
    first = caller.send(request)
    time.sleep(0.05)
    for call in [first, *caller.send_all([request] * 5)]:
        call.refused()
    while time.monotonic() < ends_s:
        caller.send(request).answer()
        time.sleep(0.03)


def _read(caller: Caller, ends_s: float) -> None:
    """Texts of all lengths."""
    requests = [WORDED.message(WORDED.example(rows, seed=rows)) for rows in (5, 20, 60)]
    while time.monotonic() < ends_s:
        for call in caller.send_all(requests):
            call.ranked()
        time.sleep(0.05)
