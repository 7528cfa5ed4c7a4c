"""How long until a server is back after a trigger. Pure.

A stretch counts as back only if every later one is, too: a server that recovers for a moment has not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BACK = 0.95
"""Of what was before."""


def until_share_is_back(
    intended_s: NDArray[np.float64],
    good: NDArray[np.bool_],
    over_s: float,
    wanted: float,
    window_s: float = 1.0,
    step_s: float = 0.1,
) -> float | None:
    """Seconds from `over_s` until the share of good requests stays at `wanted` or above.

    Looked at in windows that begin `step_s` apart and are long enough that one request is no verdict.

    Args:
        intended_s: float64 [n], ascending.
        good: bool [n].
        over_s: the trigger is gone.

    Returns:
        None = it was not back within what was observed.
    """
    starts = np.arange(over_s, float(intended_s[-1]) - window_s, step_s)
    short = []
    for start in starts:
        low, high = np.searchsorted(intended_s, [start, start + window_s])
        short.append(low == high or float(good[low:high].mean()) < wanted)
    if not short or short[-1]:
        return None
    bad = np.flatnonzero(short)
    return 0.0 if not len(bad) else float(starts[bad[-1] + 1] - over_s)


def share(intended_s: NDArray[np.float64], good: NDArray[np.bool_], from_s: float, to_s: float) -> float:
    """Of the requests intended between two instants that were good.

    Raises:
        ValueError: there were none.
    """
    low, high = np.searchsorted(intended_s, [from_s, to_s])
    if low == high:
        raise ValueError(f"nothing was asked between {from_s:.1f} and {to_s:.1f} s")
    return float(good[low:high].mean())


def until_ordinary(
    before: Sequence[float], untouched: Sequence[float], after: Sequence[float], slack: float, worst: float
) -> int | None:
    """How many windows after the trigger pass until all later ones look like those without it.

    Args:
        before: a figure per window, larger is worse.
        untouched: the same as `after` of a run with the same arrivals and no trigger: arrivals that bunch
            make windows of their own that are out of the ordinary.
        after: from the trigger's end.
        slack: that the figure may always exceed what is expected by, beside four standard deviations.
        worst: the figure of a server that is down; halfway there nothing is ordinary, however the windows
            before differed.

    Returns:
        None = the last window is still out of the ordinary.
    """
    expected = np.maximum(np.asarray(untouched), np.mean(before))
    limit = np.minimum(expected + max(4.0 * float(np.std(before)), slack), (expected + worst) / 2)
    bad = np.flatnonzero(np.asarray(after) > limit)
    if not len(bad):
        return 0
    return None if bad[-1] == len(after) - 1 else int(bad[-1]) + 1
