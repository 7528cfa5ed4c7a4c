"""What one core can do, by calculation. Pure.

Capacity at a budget D: C(D) = max over b of b / t(b), subject to t(b) * (1 + 1/K) + overhead <= D, where t(b)
is the core's time for a run of b requests, front end included, and K the number of executors: a request that
arrives just after a run began waits for it and then needs a run of its own (Nexus' rule, SOSP 2019).

Goodput at a load L, in multiples of capacity: y(L) = (1 - L * r/s) / (1 - r/s), where s and r are the core's
time per served and per refused request: saying no comes out of the same core.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """C(D), and where it is reached.

    Attributes:
        batch: requests per run at the best rate; 0 = not even one fits.
        per_s: requests per second.
    """

    budget_ms: float
    batch: int
    per_s: float


def capacity(
    run_ms: Mapping[int, float],
    front_end_ms: float,
    overhead_ms: float,
    budget_ms: float,
    executors: int = 1,
) -> Law:
    """C(D).

    Args:
        run_ms: requests per run -> time of a raw run.
        front_end_ms: core time per request beside its run.
        overhead_ms: time on the way, which keeps no core busy.
    """
    best = Law(budget_ms=budget_ms, batch=0, per_s=0.0)
    for batch, raw_ms in run_ms.items():
        busy_ms = raw_ms + batch * front_end_ms
        per_s = 1e3 * batch / busy_ms
        if busy_ms * (1 + 1 / executors) + overhead_ms <= budget_ms and per_s > best.per_s:
            best = Law(budget_ms=budget_ms, batch=batch, per_s=per_s)
    return best


def goodput_share(load: float, refusal_ratio: float) -> float:
    """y(L): goodput over capacity that refusals leave; at most 1, at least 0.

    Args:
        load: offered, in multiples of capacity; up to 1 nothing needs to be refused, and y is the load.
        refusal_ratio: r / s; where load * r / s reaches 1, saying no takes the whole core, and y is 0.

    Raises:
        ValueError: the ratio is negative.
    """
    if refusal_ratio < 0:
        raise ValueError(f"refusal_ratio must be 0 or more, got {refusal_ratio}")
    if load <= 1:
        return load
    left = 1 - load * refusal_ratio
    return left / (1 - refusal_ratio) if left > 0 else 0.0
