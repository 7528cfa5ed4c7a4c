"""What cost models have learned, kept over restarts in `state_dir`, never beside the bundle.

A file belongs to one variant of one bundle on one kind of machine; on any other it says nothing, so bundle
and machine are in its name. It is read after the warm-up and only believed where the two roughly agree.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import Any

import msgspec

from server.core.cost import CostModel
from server.core.decisions import Lane
from server.core.line import Line
from server.machine import cpu_name

AGREES_WITHIN = 2.0
"""Factor between the warm-up's prediction and the kept one; beyond it the machine has changed."""
_ROWS = (16, 256)


class KeptCost(msgspec.Struct, frozen=True, kw_only=True):
    """One file: a lane's cost model, in nanoseconds; see `CostModel.state`."""

    model: str
    version: int
    variant: str
    machine: str
    run_ns: float
    request_ns: float
    row_ns: float
    ratios: list[float]
    runs: int

    def mean_ns(self, requests: int, rows: int) -> float:
        """Mean time of a run."""
        return self.run_ns + self.request_ns * requests + self.row_ns * rows


class CostStore:
    """Reads and writes the files of one folder; `engine` names what computes: kind, providers, threads."""

    def __init__(self, folder: Path, engine: str) -> None:
        self._folder = folder
        self._machine = f"{cpu_name()}, {platform.machine()}, {engine}"

    def resume(self, lane: Lane, bundle_sha256: str, cost: CostModel) -> bool:
        """Let a warmed-up model begin with what was learned; whether there was anything to be believed."""
        try:
            kept = msgspec.json.decode(self._path(lane, bundle_sha256).read_bytes(), type=KeptCost)
        except (OSError, msgspec.DecodeError):
            return False
        line = Line(kept.run_ns, kept.request_ns, kept.row_ns, cost.line.per_request)
        for rows in _ROWS:
            factor = line.mean_ns(1, rows) / cost.line.mean_ns(1, rows)
            if not 1 / AGREES_WITHIN <= factor <= AGREES_WITHIN:
                return False
        if len(kept.ratios) != len(cost.ratios):
            return False
        cost.resume(line, kept.ratios)
        cost.runs = kept.runs
        return True

    def save(self, lane: Lane, bundle_sha256: str, state: dict[str, Any]) -> None:
        """Write one file, whole or not at all.

        Raises:
            OSError: the folder cannot be written.
        """
        names = {"model": lane.model, "version": lane.version, "variant": lane.variant}
        kept = msgspec.convert({**state, **names, "machine": self._machine}, KeptCost)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(lane, bundle_sha256)
        part = path.with_suffix(".part")
        part.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
        os.replace(part, path)

    def _path(self, lane: Lane, bundle_sha256: str) -> Path:
        machine = hashlib.sha256(self._machine.encode()).hexdigest()[:8]
        return (
            self._folder / f"{lane.model}-{lane.version}-{lane.variant}-{bundle_sha256[:12]}-{machine}.json"
        )


def kept(folder: Path, model: str, version: int, bundle_sha256: str) -> list[KeptCost]:
    """All that is kept of a bundle, of any variant and machine."""
    pattern = f"{model}-{version}-*-{bundle_sha256[:12]}-*.json"
    return [msgspec.json.decode(path.read_bytes(), type=KeptCost) for path in sorted(folder.glob(pattern))]
