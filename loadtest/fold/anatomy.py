"""Where the time of the late answers went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loadtest.fold.totals import kept_budget, latencies_ms
from loadtest.records import ANSWERED, STAGES, Records
from loadtest.result import Anatomy


def fold(records: Records, budgets_ms: Sequence[float]) -> Anatomy:
    """Mean shares of the late answers' latency; without any, no shares.

    The client's and the server's clocks round differently: what would be less than nothing counts as nothing.

    Args:
        budgets_ms: by class of the mix.
    """
    late = records.ended(ANSWERED) & ~kept_budget(records, latencies_ms(records), budgets_ms)
    rows = records.rows[late]
    if len(rows) == 0:
        return Anatomy(late=0, shares={})
    stages_us = {name: rows[name].astype(np.float64) for name in STAGES}
    server_us = rows["server_us"].astype(np.float64)
    parts_us: dict[str, NDArray[np.float64]] = {
        "client lag": (rows["sent_ns"] - rows["intended_ns"]) / 1e3,
        **stages_us,
        "server, other": server_us - sum(stages_us.values()),
        "outside": (rows["done_ns"] - rows["sent_ns"]) / 1e3 - server_us,
    }
    parts = np.maximum(np.stack(list(parts_us.values())), 0.0)
    whole = parts.sum(axis=0)
    shares = np.divide(parts, whole, out=np.zeros_like(parts), where=whole > 0).mean(axis=1)
    return Anatomy(late=len(rows), shares=dict(zip(parts_us, shares.tolist(), strict=True)))
