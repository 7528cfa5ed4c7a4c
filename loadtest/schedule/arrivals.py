"""One phase's send instants: arrivals of rate 1, bent to the wanted rate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loadtest.scenario.form import Closed, Constant, Gamma, Phase, Trace
from loadtest.schedule import intensity

Instants = NDArray[np.int64]
"""Nanoseconds, ascending."""

_GAPS, _DWELLS = 0, 1
"""Streams of random numbers within a phase: a longer dwell must not shift the gaps."""


def instants(phase: Phase, rate_per_s: float, seed: tuple[int, ...]) -> Instants:
    """Send instants of an open-loop phase, counted from its start.

    Args:
        rate_per_s: at load 1.
        seed: of this phase.

    Raises:
        ValueError: a trace that is not one, or a closed loop, which has no schedule.
        OSError: the trace cannot be read.
    """
    arrivals = phase.arrivals
    if isinstance(arrivals, Closed):
        raise ValueError(f"phase {phase.name}: a closed loop has no schedule")
    if isinstance(arrivals, Trace):
        return _trace(arrivals, phase.duration_s)
    bent = intensity.of(arrivals, rate_per_s, phase.duration_s, np.random.default_rng([*seed, _DWELLS]))
    rng = np.random.default_rng([*seed, _GAPS])
    if isinstance(arrivals, Constant):
        # Half a gap before the first: phases that follow one another keep the distance.
        units = np.arange(0.5, bent.total)
    elif isinstance(arrivals, Gamma):
        shape = 1 / arrivals.cv**2
        units = _until(bent.total, lambda count: rng.gamma(shape, 1 / shape, count))
    else:
        units = _until(bent.total, lambda count: rng.exponential(size=count))
    return (bent.inverse(units) * 1e9).astype(np.int64)


def _until(total: float, gaps: Callable[[int], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Cumulated gaps below `total`. Drawn in blocks, so that a longer run begins with the shorter one's
    arrivals."""
    blocks: list[NDArray[np.float64]] = []
    reached = 0.0
    while reached < total:
        blocks.append(reached + np.cumsum(gaps(1024)))
        reached = float(blocks[-1][-1])
    units = np.concatenate(blocks) if blocks else np.zeros(0)
    return units[units < total]


def _trace(trace: Trace, duration_s: float) -> Instants:
    try:
        at_ms = np.array([float(line) for line in Path(trace.path).read_text().split()])
    except ValueError as error:
        raise ValueError(f"{trace.path}: not one instant in milliseconds per line: {error}") from error
    if not np.isfinite(at_ms).all() or (at_ms < 0).any():
        raise ValueError(f"{trace.path}: instants must be finite and not below 0")
    at_ns = (np.sort(at_ms) / trace.speed * 1e6).astype(np.int64)
    return at_ns[at_ns < round(duration_s * 1e9)]
