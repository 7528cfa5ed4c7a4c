"""Folder to catalog: find bundles, verify, check golden requests on this host, warm up, measure costs.

A version that fails any of this is refused with its reason, and the one before it is tried.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protos import manifest as manifests
from protos.manifest import NAME_PATTERN, Manifest
from server.catalog import Catalog, RefusedBy, RefusedVersion, ServedVersion
from server.config import Config
from server.config import Model as ModelConfig
from server.core.cost import CostModel
from server.core.decisions import Lane
from server.core.policy import Policy
from server.cost_store import CostStore
from server.domain import Importance, RankingRequest
from server.engine.api import Engine, EngineError, ProviderMissing
from server.engine.bundle import BadBundle, Bundle, open_bundle
from server.engine.by_length import ByLength
from server.engine.fake import FakeEngine, Script
from server.engine.tensors import Packer
from server.first_sight.look import FirstSight
from server.first_sight.texts import unforeseen
from server.golden import GoldenMissed, check_golden, decode_golden
from server.machine import intra_op_threads
from server.run import LaneRuntime
from server.warm_up import call_tokens, sweep
from server.wire import Decoder

CHUNK_SHARE = 0.25
"""Of the smallest budget: a longer run would hold up the most urgent for too much of their time."""
_VERSION_PATTERN = re.compile("[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class LoadedLane:
    """A variant that can run.

    Attributes:
        digest: of its bundle.
        budget_ns: the smallest of its importance classes.
        chunkable: its requests may be scored in parts.
    """

    runtime: LaneRuntime
    cost: CostModel
    digest: str
    budget_ns: int
    chunkable: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the folder gave."""

    catalog: Catalog
    lanes: Mapping[Lane, LoadedLane]

    @property
    def runtimes(self) -> dict[Lane, LaneRuntime]:
        """What executors need."""
        return {lane: loaded.runtime for lane, loaded in self.lanes.items()}


class Loader:
    """Loads every model of a folder into a scheduler.

    Args:
        store: what earlier processes learned; None = nothing is kept.
    """

    def __init__(self, config: Config, scheduler: Policy, log: Any, store: CostStore | None = None) -> None:
        self._config = config
        self._scheduler = scheduler
        self._log = log
        self._store = store
        self._lanes: dict[Lane, LoadedLane] = {}
        self._first_sight = FirstSight(config, log)

    def load(self, folder: Path) -> Loaded:
        """Load the configured versions of every model found in `folder`."""
        try:
            return self._load(folder)
        finally:
            self._first_sight.close()

    def _load(self, folder: Path) -> Loaded:
        serving: dict[str, dict[int, ServedVersion]] = {}
        refused: list[RefusedVersion] = []
        found = find_versions(folder)
        for name, versions in found.items():
            model = self._config.models.of(name)
            wanted = versions if model.versions == "latest" else sorted(set(model.versions), reverse=True)
            for version in wanted:
                served = self._try_version(folder / name / str(version), model)
                if isinstance(served, RefusedVersion):
                    self._log.error("version refused", model=name, version=version, reason=served.reason)
                    refused.append(served)
                    continue
                serving.setdefault(name, {})[version] = served
                if model.versions == "latest":
                    break
        required = self._config.models.required
        names = frozenset(found if required is None else required)
        self._make_known()
        return Loaded(Catalog(serving, tuple(refused), names), self._lanes)

    def _make_known(self) -> None:
        """Give the scheduler its lanes, once it is clear which budget is the smallest."""
        chunk_ns = round(self._config.batch.chunk_ms_max * 1e6)
        if not chunk_ns and self._lanes:
            chunk_ns = round(CHUNK_SHARE * min(loaded.budget_ns for loaded in self._lanes.values()))
        for lane, loaded in self._lanes.items():
            self._scheduler.add_lane(
                lane,
                loaded.cost,
                budget_ns=loaded.budget_ns,
                chunk_ns=chunk_ns if loaded.chunkable else None,
            )

    def _try_version(self, path: Path, model: ModelConfig) -> ServedVersion | RefusedVersion:
        """Whatever a bundle does, the others are loaded."""
        by = RefusedBy.OTHER
        try:
            unsound = self._first_sight.look(path) if self._config.engine.kind == "ort" else {}
            return self._load_version(path, model, unsound)
        except (BadBundle, EngineError) as error:
            reason = str(error)
            by = RefusedBy.GOLDEN if isinstance(error, GoldenMissed) else by
        except ProviderMissing:
            raise  # no fault of the bundle's: nothing could be loaded
        except Exception as error:
            reason = unforeseen(manifests.MANIFEST_FILE, error)
        return RefusedVersion(path.parent.name, int(path.name), reason, by)

    def _load_version(self, path: Path, model: ModelConfig, unsound: Mapping[str, str]) -> ServedVersion:
        """Open a bundle and load its variants; `unsound`: variant -> why not even to try."""
        began = time.perf_counter()
        bundle = open_bundle(path)
        manifest = bundle.manifest
        candidates_max = min(manifest.axes["N"].max, self._config.limits.candidates_max)
        limits, weights = self._config.limits, manifest.combine.weights
        decoder = Decoder(bundle.layout, bundle.vocabs, limits, candidates_max, weights)
        golden = decode_golden(bundle, decoder)
        lanes: dict[str, Lane] = {}
        runnable: dict[Lane, LoadedLane] = {}
        refused: dict[str, str] = {}
        golden_missed: set[str] = set()
        budget_ns = _budgets_ns(manifest.budget_ms, model)
        others = [variant for variant in manifest.variants if variant != manifest.default_variant]
        for variant in (manifest.default_variant, *others):
            lane = Lane(manifest.model, manifest.version, variant)
            try:
                if variant in unsound:
                    raise BadBundle(unsound[variant])
                if self._config.engine.kind != "fake":
                    require_provider_of(manifest, variant, self._config.engine.providers)
                loaded = self._load_variant(bundle, lane, golden, min(budget_ns.values()))
            except (BadBundle, EngineError) as error:
                refused[variant] = str(error)
                if isinstance(error, GoldenMissed):
                    golden_missed.add(variant)
                self._log.error("variant refused", model=lane.model, variant=variant, reason=str(error))
                continue
            lanes[variant] = lane
            runnable[lane] = loaded
        default = default_of(manifest, list(lanes))
        if default is None:
            why = "; ".join(f"{variant}: {reason}" for variant, reason in refused.items())
            raise GoldenMissed(why) if golden_missed else BadBundle(why)
        self._lanes |= runnable
        self._log.info(
            "version loaded",
            model=manifest.model,
            version=manifest.version,
            variants=list(lanes),
            load_s=round(time.perf_counter() - began, 3),
        )
        return ServedVersion(bundle, decoder, lanes, default, refused, budget_ns, frozenset(golden_missed))

    def _load_variant(
        self, bundle: Bundle, lane: Lane, golden: Sequence[RankingRequest], budget_ns: int
    ) -> LoadedLane:
        config, manifest = self._config, bundle.manifest
        engine = self._engine(bundle, lane.variant)
        executors = range(config.engine.executors)
        packers = [Packer(bundle.layout, config.batch.rows_max) for _ in executors]
        brakes = [engine.brake() for _ in executors]
        payloads = [request.payload for request in golden]
        if isinstance(engine, ByLength):
            engine.call_tokens = call_tokens(payloads, engine, packers[0], config.engine.warm_up_s_max / 4)
        if config.engine.kind == "ort":  # as it will be served, in groups of like length if so
            check_golden(bundle, lane.variant, golden, engine, packers[0])
        points = sweep(payloads, engine, packers[0], brakes[0], config.engine.warm_up_s_max)
        cost = CostModel.fitted(points, per_request="R" in manifest.cost_axes)
        digest = manifests.digest(manifest)
        if self._store is not None and self._store.resume(lane, digest, cost):
            self._log.info("learned costs resumed", model=lane.model, variant=lane.variant)
        if isinstance(engine, FakeEngine):
            engine.begin_script()
        elif isinstance(engine, ByLength):
            engine.begin_count()
        loads = [(payload.load, payload.rows) for payload in payloads]
        row_load = sum(load for load, _ in loads) / sum(rows for _, rows in loads)
        runtime = LaneRuntime(engine, packers, brakes, row_load)
        return LoadedLane(runtime, cost, digest, budget_ns, manifest.scoring.chunkable)

    def _engine(self, bundle: Bundle, variant: str) -> Engine:
        engine = self._config.engine
        if engine.kind == "fake":
            fake = engine.fake
            stalls = {run: ms / 1e3 for run, ms in fake.stall_runs.items()}
            return FakeEngine(
                bundle.layout,
                Script(fake.overhead_ms / 1e3, fake.row_us / 1e6, frozenset(fake.fail_runs), stalls),
            )
        from server.engine.ort import OrtEngine

        made = OrtEngine(
            bundle.graph(variant), bundle.layout, engine.providers, intra_op_threads(engine.intra_op_threads)
        )
        return made if bundle.layout.length is None else ByLength(made, bundle.layout)


def find_versions(folder: Path) -> dict[str, list[int]]:
    """Model names of a folder, each with its version numbers, newest first."""
    found: dict[str, list[int]] = {}
    for model in sorted(folder.iterdir()) if folder.is_dir() else []:
        if model.is_dir() and NAME_PATTERN.fullmatch(model.name):
            versions = [
                int(entry.name)
                for entry in model.iterdir()
                if _VERSION_PATTERN.fullmatch(entry.name) and entry.is_dir()
            ]
            if versions:
                found[model.name] = sorted(versions, reverse=True)
    return found


def default_of(manifest: Manifest, loaded: Sequence[str]) -> str | None:
    """What a request without a variant gets: the first of the loaded whose scores are its own.

    Scores that depend on batch-mates go to callers who name the variant, never to the others; None =
    nothing is left.
    """
    return next((name for name in loaded if not manifest.variants[name].depends_on_batch_mates), None)


def require_provider_of(manifest: Manifest, variant: str, providers: Sequence[str]) -> None:
    """Refuse a variant that was made for other execution providers: it would run slowly at best.

    Raises:
        BadBundle: names the variant's providers and those that are configured.
    """
    meant = manifest.variants[variant].providers
    if "*" not in meant and not set(meant) & set(providers):
        named = ", ".join(repr(name[:64]) for name in meant[:8]) or "no execution provider"
        raise BadBundle(f"variant {variant!r} is for {named}; engine.providers has {', '.join(providers)}")


def _budgets_ns(bundle_ms: float, model: ModelConfig) -> dict[Importance, int]:
    base_ms = model.budget_ms or bundle_ms
    by_class = {
        Importance.CRITICAL: model.budget_ms_critical or base_ms,
        Importance.DEFAULT: base_ms,
        Importance.SHEDDABLE: model.budget_ms_sheddable or base_ms,
    }
    return {importance: round(ms * 1e6) for importance, ms in by_class.items()}
