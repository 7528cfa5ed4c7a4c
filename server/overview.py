"""What the server can say of itself, as plain values: the JSON of the operations port.

Rule: numbers, names and reasons; never a query, an id or a feature. The status page shows these same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from server.catalog import Catalog, RefusedVersion
from server.config import Config
from server.core.decisions import Lane, Snapshot
from server.history import WINDOWS_S, Quantile, Window
from server.metrics import UNKNOWN


def overview(
    ready: tuple[bool, str],
    config: Config,
    catalog: Catalog | None,
    snapshot: Snapshot,
    costs: Mapping[Lane, Mapping[str, Any]],
    in_flight: int,
    window: Callable[[str, float], Window],
) -> dict[str, Any]:
    """Everything at one instant.

    Args:
        ready: whether, and a sentence.
        costs: per lane what its cost model says, in nanoseconds; see `Dispatcher.costs`.
        in_flight: requests inside.
        window: what a model did over so many last seconds.
    """
    return {
        "ready": ready[0],
        "state": ready[1],
        "in_flight": in_flight,
        "scheduler": {
            "policy": config.admission.policy,
            "executors": config.engine.executors,
            **_scheduler(snapshot),
        },
        "models": [] if catalog is None else _models(catalog, costs, window),
        "unnamed": _refusals([window(UNKNOWN, seconds) for seconds in WINDOWS_S]),
        "refused": [] if catalog is None else [_refused(entry) for entry in catalog.refused],
        "configuration": msgspec.to_builtins(config),
    }


def _scheduler(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "waiting_requests": snapshot.queue_depth,
        "waiting_rows": snapshot.queue_rows,
        "planned_work_ms": snapshot.planned_work_ns / 1e6,
        "executors_busy": snapshot.executors_busy,
        "executors_stuck": snapshot.executors_stuck,
        "probes": snapshot.probes,
    }


def _models(
    catalog: Catalog, costs: Mapping[Lane, Mapping[str, Any]], window: Callable[[str, float], Window]
) -> Sequence[dict[str, Any]]:
    return [
        {
            "model": served.bundle.manifest.model,
            "version": served.bundle.manifest.version,
            "default_variant": served.default_variant,
            "budget_ms": {name.name.lower(): ns / 1e6 for name, ns in served.budget_ns.items()},
            "live": _live([window(served.bundle.manifest.model, seconds) for seconds in WINDOWS_S]),
            "variants": {variant: _cost(costs[lane]) for variant, lane in served.lanes.items()},
            "refused_variants": dict(served.refused_variants),
        }
        for served in catalog.served()
    ]


def _live(windows: Sequence[Window]) -> list[dict[str, Any]]:
    """Per window, of all versions of a model. Quantiles are estimates, with the bounds they lie between."""
    return [
        {
            "answered": at.answered,
            "goodput_per_s": at.in_time / at.seconds,
            "admitted": at.admitted,
            "violations": at.violations,
            "kept_percent": 100 * (1 - at.violations / at.admitted) if at.admitted else None,
            "refused_per_s": sum(at.refusals.values()) / at.seconds,
            **_quantile("p50", at.p50),
            **_quantile("p99", at.p99),
            **refusals,
        }
        for at, refusals in zip(windows, _refusals(windows), strict=True)
    ]


def _quantile(name: str, found: Quantile | None) -> dict[str, float | None]:
    if found is None:
        return dict.fromkeys((f"{name}_ms", f"{name}_low_ms", f"{name}_high_ms"))
    high_ms = None if found.high_s is None else found.high_s * 1e3
    return {
        f"{name}_ms": found.value_s * 1e3,
        f"{name}_low_ms": found.low_s * 1e3,
        f"{name}_high_ms": high_ms,
    }


def _refusals(windows: Sequence[Window]) -> list[dict[str, Any]]:
    """Per window: every reason that any of them has seen."""
    reasons = sorted({reason for at in windows for reason in at.refusals})
    return [
        {"seconds": at.seconds, "refusals": {reason: at.refusals.get(reason, 0) for reason in reasons}}
        for at in windows
    ]


def _refused(entry: RefusedVersion) -> dict[str, Any]:
    return {"model": entry.model, "version": entry.version, "reason": entry.reason}


def _cost(cost: Mapping[str, Any]) -> dict[str, Any]:
    """One lane's cost model, for a person: microseconds, and what it predicts."""
    chunk_ns = cost["chunk_ns"]
    return {
        "run_us": cost["run_ns"] / 1e3,
        "request_us": cost["request_ns"] / 1e3,
        "row_us": cost["row_ns"] * cost["row_load"] / 1e3,
        "row_tokens": cost["row_load"],
        "stretch": cost["stretch"],
        "ratios": cost["ratios"],
        "margin_ms": cost["margin_ns"] / 1e6,
        "chunk_ms_max": None if chunk_ns is None else chunk_ns / 1e6,
        "runs": cost["runs"],
        "stalls": cost["stalls"],
        "drifts": cost["drifts"],
        "predicted_ms": {str(rows): ns / 1e6 for rows, ns in cost["predicted_ns"].items()},
    }
