"""What the server can say of itself, as plain values: the JSON of the operations port.

Rule: numbers, names and reasons; never a query, an id or a feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from server.catalog import Catalog, RefusedVersion
from server.config import Config
from server.core.decisions import Lane, Snapshot


def overview(
    ready: tuple[bool, str],
    config: Config,
    catalog: Catalog | None,
    snapshot: Snapshot,
    costs: Mapping[Lane, Mapping[str, Any]],
) -> dict[str, Any]:
    """Everything at one instant.

    Args:
        ready: whether, and a sentence.
        costs: per lane what its cost model says, in nanoseconds; see `Dispatcher.costs`.
    """
    return {
        "ready": ready[0],
        "state": ready[1],
        "scheduler": {"policy": config.admission.policy, **_scheduler(snapshot)},
        "models": [] if catalog is None else _models(catalog, costs),
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


def _models(catalog: Catalog, costs: Mapping[Lane, Mapping[str, Any]]) -> Sequence[dict[str, Any]]:
    return [
        {
            "model": served.bundle.manifest.model,
            "version": served.bundle.manifest.version,
            "default_variant": served.default_variant,
            "budget_ms": {name.name.lower(): ns / 1e6 for name, ns in served.budget_ns.items()},
            "variants": {variant: _cost(costs[lane]) for variant, lane in served.lanes.items()},
            "refused_variants": dict(served.refused_variants),
        }
        for served in catalog.served()
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
