"""What this process may use of the machine."""

from __future__ import annotations

import math
import os
from pathlib import Path

_V2 = Path("/sys/fs/cgroup/cpu.max")
_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def quota_cores() -> float | None:
    """Cores that the cgroup's CPU quota allows (v2, then v1); None when there is no quota."""
    try:
        if _V2.exists():
            quota, period = _V2.read_text().split()
            return None if quota == "max" else int(quota) / int(period)
        quota_us = int(_V1_QUOTA.read_text())
        return quota_us / int(_V1_PERIOD.read_text()) if quota_us > 0 else None
    except (OSError, ValueError):
        return None


def usable_cores() -> int:
    """Whole cores by affinity and quota, at least 1. ONNX Runtime's own default sees neither."""
    cores = len(os.sched_getaffinity(0))
    quota = quota_cores()
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def intra_op_threads(configured: int) -> int:
    """Threads of one run: as configured, or one core less than usable, which the front end keeps."""
    return configured or max(1, usable_cores() - 1)
