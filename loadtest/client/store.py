"""The records of a running test: one file, mapped into every process, so that nothing measured is ever in
transit.

The processes fill disjoint rows; the parent reads along for its live table, and has everything in hand when a
process dies or the user has seen enough. Disk space is reserved before the first request: a full disk stops
the start, not the run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.records import DTYPE, NEVER_NS


def create(path: Path, columns: Mapping[str, NDArray[Any]], rows: int) -> NDArray[Any]:
    """Make the file and map it: what is known before the run is filled in, the rest blank.

    Raises:
        OSError: there is no room.
    """
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(rows, 1) * DTYPE.itemsize)
    mapped = attach(path, rows)
    mapped[:] = np.zeros((), DTYPE)
    mapped["sent_ns"] = mapped["done_ns"] = NEVER_NS
    mapped["top"] = -1
    for name, column in columns.items():
        mapped[name] = column
    return mapped


def attach(path: Path, rows: int) -> NDArray[Any]:
    """Map an existing file, to read and to write."""
    return np.memmap(path, DTYPE, "r+", shape=(max(rows, 1),))[:rows]
