"""Sizes of the `overload` workload, apart from the model so that the raw process need not import torch."""

from typing import Final

CANDIDATES: Final = (100, 100, *[200] * 12, 300, 300, 400, 500, 600, 700)
"""Candidates per request: MLPerf DLRM v2, user-item pairs per query, 20 equally likely values, mean 270."""
HISTORY: Final = 50
"""Most movies of a history."""
BUDGET_MS: Final = 25.0
EMBEDDING: Final = 64
HIDDEN: Final = (1920, 1920, 640)
"""Widths of the scoring MLP: with them one request of the mean size takes 4 to 8 ms of raw int8 time on one
core of machine class A (docs/measuring.md)."""
EACH: Final = 5
"""Requests of every one of the twenty counts in the bundle's request set."""
