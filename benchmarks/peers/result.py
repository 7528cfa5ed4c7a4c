"""Blocks of figures to rows of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.bench import interval
from benchmarks.peers.peer import Figure

Block = Mapping[str, Mapping[int, Figure]]
"""Peer's name -> candidates -> what was measured."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median over blocks with its 95 % interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """A peer.

    Attributes:
        rates: requests/s by candidates; empty = not measured.
        shares: of the reference's rate in the same block, by candidates.
        busy: the least of the medians over sizes; None = not a server.
        remark: what a reader must know of it.
    """

    name: str
    rates: Mapping[int, Estimate]
    shares: Mapping[int, Estimate]
    busy: float | None
    remark: str


def row_of(name: str, blocks: Sequence[Block], reference: str, remark: str) -> Row:
    """One peer's row; without blocks of it, a row that only remarks."""
    measured = [block for block in blocks if name in block]
    sizes = list(measured[0][name]) if measured else []
    rates = {size: _estimate([block[name][size].requests_per_s for block in measured]) for size in sizes}
    shares = {size: _estimate([_share(block, name, reference, size) for block in measured]) for size in sizes}
    busy = [_busy([block[name][size].busy for block in measured]) for size in sizes]
    return Row(name, rates, shares, min((one for one in busy if one is not None), default=None), remark)


def _estimate(values: list[float]) -> Estimate:
    return Estimate(*interval(values))


def _share(block: Block, name: str, reference: str, size: int) -> float:
    return block[name][size].requests_per_s / block[reference][size].requests_per_s


def _busy(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
