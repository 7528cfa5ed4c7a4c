"""What the machine did meanwhile: time that its host took away, once a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_STEAL = 7
"""Field of the `cpu` line: time stolen by other guests of the host (proc(5))."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """CPU time of all cores since boot, in clock ticks, at an instant of the run."""

    at_s: float
    stolen: int
    total: int


def ticks(at_s: float) -> Ticks:
    """Read them now."""
    fields = [int(field) for field in _STAT.read_text().split("\n", 1)[0].split()[1:]]
    # guest and guest_nice, behind steal, are already in user and nice.
    return Ticks(at_s, fields[_STEAL], sum(fields[: _STEAL + 1]))


def steal(seen: Sequence[Ticks], from_s: float, to_s: float) -> float:
    """Share of the machine's time that was stolen between two instants; 0 when nothing was seen of them."""
    before = [entry for entry in seen if entry.at_s <= from_s] or list(seen[:1])
    after = [entry for entry in seen if entry.at_s >= to_s] or list(seen[-1:])
    if not before or not after or after[0].total <= before[-1].total:
        return 0.0
    return (after[0].stolen - before[-1].stolen) / (after[0].total - before[-1].total)
