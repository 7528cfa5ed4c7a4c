"""Composition root: reads argv, environment and files, builds the parts, wires them, drains in order."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from http2.messages import Room
from http2.server import Limits as ConnectionLimits
from server import logs, tuning
from server.catalog import RefusedBy
from server.config import Config, ConfigError, load
from server.core.decisions import Lane
from server.cost_store import CostStore
from server.dispatcher import Dispatcher
from server.door.health import Health
from server.door.listener import Listener
from server.door.methods import methods
from server.engine.api import ProviderMissing
from server.history import History
from server.journal import Journal
from server.loader import Loader, find_versions
from server.machine import intra_op_threads, usable_cores
from server.metrics import Metrics
from server.ops_http import OpsServer
from server.overview import overview
from server.policies import policy
from server.pulse import BEAT_NS
from server.ranking import Ranking
from server.run import clock_ns

TURNS_TO_READ = 4
KEEP_COSTS_S = 60.0
EXIT_KILLED = 128 + signal.SIGTERM


class StartError(Exception):
    """The server cannot start. One sentence."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; exit code 0 after a clean drain, 1 with one sentence, 2 for usage."""
    arguments = _parser().parse_args(argv)
    try:
        config = _configuration(arguments)
        _check_start(config, arguments.models)
    except (ConfigError, StartError) as error:
        print(f"podium: {error}", file=sys.stderr)
        return 1
    try:
        uvloop.run(Server(config, arguments.models).serve())
    except (StartError, ProviderMissing) as error:
        print(f"podium: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="podium serve",
        description="Serve every model of a folder over gRPC.",
        epilog="example: podium serve --models build/demo/models --port 50051 --set batch.rows_max=1024",
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of bundles, NAME/VERSION")
    parser.add_argument("--config", type=Path, help="TOML file")
    parser.add_argument("--host", help="address to listen on (listen.host; default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="gRPC port, 0 = any free one (listen.grpc_port)")
    parser.add_argument("--ops-port", type=int, help="operations port, 0 = any free one (listen.ops_port)")
    parser.add_argument("--engine", choices=["ort", "fake"], help="engine.kind")
    parser.add_argument(
        "--set", dest="sets", metavar="A.B=V", action="append", default=[], help="set one configuration key"
    )
    return parser


def _configuration(arguments: argparse.Namespace) -> Config:
    sets = list(arguments.sets)
    for key, value in (
        ("listen.host", arguments.host),
        ("listen.grpc_port", arguments.port),
        ("listen.ops_port", arguments.ops_port),
        ("engine.kind", arguments.engine),
    ):
        if value is not None:
            sets.append(f"{key}={value}" if isinstance(value, int) else f'{key}="{value}"')
    try:
        text = arguments.config.read_text() if arguments.config else ""
    except OSError as error:
        raise ConfigError(f"--config {arguments.config}: {error.strerror}") from error
    return load(text, os.environ, sets)


def _check_start(config: Config, models: Path) -> None:
    if not find_versions(models):
        raise StartError(f"no bundles in {models}: expected folders NAME/VERSION with a bundle.json")
    if config.engine.kind == "ort":
        from server.engine.ort import require_providers

        try:
            require_providers(config.engine.providers)
        except ProviderMissing as error:
            raise StartError(str(error)) from error


class Server:
    """One server process: built, loaded, served, drained."""

    def __init__(self, config: Config, models: Path) -> None:
        self._config = config
        self._models = models
        self._log = logs.configure(config.logs)
        self._tuned = tuning.tune()
        self._scheduler = policy(config)
        self._metrics = Metrics(find_versions(models), _budgets_s(config))
        self._history = History(self._metrics)
        self._dispatcher = Dispatcher(self._scheduler, config.engine.executors, self._metrics, self._log)
        self._room = Room(config.limits.in_flight_bytes_max)
        self._journal = Journal(self._log, config.logs.access_per_s)
        self._ranking = Ranking(self._dispatcher, self._metrics, self._room, self._log, self._journal)
        self._health = Health()
        self._store = CostStore(Path(config.state_dir), _engine_text(config)) if config.state_dir else None
        self._digests: dict[Lane, str] = {}
        self._was_lost = False
        self._stops = 0
        self._stopped = asyncio.Event()

    async def serve(self) -> None:
        """Run until told to stop.

        Raises:
            StartError: a port is taken.
        """
        listen = self._config.listen
        self._watch_signals()
        registry = CollectorRegistry()
        registry.register(self._metrics)
        self._metrics.pull(
            self._dispatcher.snapshot,
            lambda: self._ranking.in_flight,
            self._versions,
            self._dispatcher.tokens,
            self._budgets_s,
        )
        limits = self._config.limits
        door = Listener(
            methods(self._ranking, self._health, limits),
            ConnectionLimits(limits.message_bytes_max, limits.connection_streams_max, self._room),
            self._log,
            keepalive_s=listen.keepalive_s,
        )
        try:
            port = await door.listen(listen.host, listen.grpc_port)
        except OSError as error:
            address = f"{listen.host}:{listen.grpc_port}"
            raise StartError(f"listen.grpc_port: cannot listen on {address}; is it in use?") from error
        try:
            ops = OpsServer(listen.host, listen.ops_port, registry, self._readiness, self._overview)
        except OSError as error:
            address = f"{listen.host}:{listen.ops_port}"
            raise StartError(f"listen.ops_port: cannot listen on {address}: {error.strerror}") from error
        ops.start()
        self._history.start()
        beat = asyncio.create_task(self._beat())
        await self._load()
        keeper = asyncio.create_task(self._keep_costs_now_and_then())
        print(
            f"podium: serving on {listen.host}:{port}, operations on http://{listen.host}:{ops.port}",
            flush=True,
        )
        await self._stopped.wait()
        await self._drain(door)
        beat.cancel()
        keeper.cancel()
        self._keep_costs()
        self._history.stop()
        ops.close()

    async def _load(self) -> None:
        # In a thread: health and /livez answer meanwhile. Worst gap measured in docs/decisions.md.
        loader = Loader(self._config, self._scheduler, self._log, self._store)
        loaded = await asyncio.to_thread(loader.load, self._models)
        self._digests = {lane: found.digest for lane, found in loaded.lanes.items()}
        self._dispatcher.start(loaded.runtimes)
        for served in loaded.catalog.served():
            self._metrics.begin(served.bundle.manifest.model, str(served.bundle.manifest.version))
        self._ranking.catalog = loaded.catalog
        self._health.loaded(loaded.catalog)
        tuning.freeze()
        self._metrics.watch_gc()
        engine = self._config.engine
        self._log.info(
            "started",
            ready=not loaded.catalog.missing(),
            missing=loaded.catalog.missing(),
            engine=engine.kind,
            providers=engine.providers,
            executors=engine.executors,
            intra_op_threads=intra_op_threads(engine.intra_op_threads),
            usable_cores=usable_cores(),
            **self._tuned,
        )

    async def _drain(self, door: Listener) -> None:
        drain = self._config.drain
        self._log.info("draining", lame_duck_s=drain.lame_duck_s, in_flight=self._ranking.in_flight)
        self._health.draining()
        self._ranking.draining = True
        door.draining()
        # Balancers need time to see it; until then whoever still comes is answered.
        await asyncio.sleep(drain.lame_duck_s)
        self._ranking.closing = True
        await door.leave(drain.finish_s_max)
        self._dispatcher.stop()
        self._journal.catch_up(clock_ns(), last=True)
        # What came after the last scrape would otherwise never be known.
        self._log.info("stopped", requests=self._metrics.outcomes())

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        self._stops += 1
        if self._stops > 1:
            self._log.warning("stopped at once", in_flight=self._ranking.in_flight)
            os._exit(EXIT_KILLED)  # a second signal means now; threads in a run cannot be asked
        self._stopped.set()

    async def _beat(self) -> None:
        while True:
            due_ns = clock_ns() + BEAT_NS
            await asyncio.sleep(BEAT_NS / 1e9)
            self._metrics.loop_lag.observe(max(clock_ns() - due_ns, 0) / 1e9)
            for _ in range(TURNS_TO_READ):  # what came during a standstill is read before it counts as over
                await asyncio.sleep(0)
            self._ranking.pulse.beat(clock_ns())
            self._publish_loss()
            self._journal.catch_up(clock_ns())

    def _publish_loss(self) -> None:
        """A server whose executors are all stuck for seconds is no busy one: send the callers elsewhere."""
        lost, catalog = self._dispatcher.lost, self._ranking.catalog
        if lost == self._was_lost or catalog is None:
            return
        self._was_lost = lost
        if lost:
            self._log.error("every executor is stuck")
            self._health.lost()
        else:
            self._log.info("an executor is back")
            self._health.loaded(catalog)

    async def _keep_costs_now_and_then(self) -> None:
        while self._store is not None:
            await asyncio.sleep(KEEP_COSTS_S)
            await asyncio.to_thread(self._keep_costs)

    def _keep_costs(self) -> None:
        """What was learned outlives this process. A folder that cannot be written is no reason to stop."""
        if self._store is None:
            return
        try:
            for lane, state in self._dispatcher.costs().items():
                self._store.save(lane, self._digests[lane], state)
        except OSError as error:
            self._log.warning(
                "learned costs are not kept", state_dir=self._config.state_dir, error=str(error)
            )

    def _readiness(self) -> tuple[bool, str]:
        catalog = self._ranking.catalog
        if self._stops:
            return False, "draining"
        if catalog is None:
            return False, "loading"
        if self._dispatcher.lost:
            return False, "every executor is stuck"
        missing = catalog.missing()
        return (False, f"no serving version: {', '.join(missing)}") if missing else (True, "ready")

    def _overview(self) -> dict[str, Any]:
        ranking, dispatcher = self._ranking, self._dispatcher
        return overview(
            self._readiness(),
            self._config,
            ranking.catalog,
            dispatcher.snapshot(),
            dispatcher.costs(),
            ranking.in_flight,
            self._history.window,
        )

    def _versions(self) -> list[tuple[str, ...]]:
        catalog = self._ranking.catalog
        if catalog is None:
            return []
        rows: list[tuple[str, ...]] = [
            (refused.model, str(refused.version), "", "refused", refused.by.value)
            for refused in catalog.refused
        ]
        for served in catalog.served():
            name, version = served.bundle.manifest.model, str(served.bundle.manifest.version)
            rows += [(name, version, variant, "serving", "") for variant in served.lanes]
            for variant in served.refused_variants:
                by = RefusedBy.GOLDEN if variant in served.golden_missed else RefusedBy.OTHER
                rows.append((name, version, variant, "refused", by.value))
        return rows

    def _budgets_s(self) -> dict[tuple[str, ...], float]:
        """By (model, importance), of the version that answers who names none."""
        catalog = self._ranking.catalog
        if catalog is None:
            return {}
        return {
            (model, importance.name.lower()): budget_ns / 1e9
            for model, versions in catalog.serving.items()
            if versions
            for importance, budget_ns in versions[max(versions)].budget_ns.items()
        }


def _engine_text(config: Config) -> str:
    """What computes, as far as run times depend on it."""
    engine = config.engine
    if engine.kind == "fake":
        return f"fake, {engine.fake.overhead_ms} ms, {engine.fake.row_us} us"
    threads = intra_op_threads(engine.intra_op_threads)
    return f"onnxruntime {version('onnxruntime')}, {', '.join(engine.providers)}, {threads} threads"


def _budgets_s(config: Config) -> list[float]:
    models = config.models.named.values()
    values = [
        m for model in models for m in (model.budget_ms, model.budget_ms_critical, model.budget_ms_sheddable)
    ]
    return [value / 1e3 for value in values if value is not None]
