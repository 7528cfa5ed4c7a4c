"""What this process may use of the machine."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def quota_cores(cgroup: Path = CGROUP) -> float | None:
    """Cores that the cgroup's CPU quota allows (v2, then v1); None when there is no quota."""
    v2, v1 = cgroup / "cpu.max", cgroup / "cpu"
    try:
        if v2.exists():
            quota, period = v2.read_text().split()
            return None if quota == "max" else int(quota) / int(period)
        quota_us = int((v1 / "cpu.cfs_quota_us").read_text())
        return quota_us / int((v1 / "cpu.cfs_period_us").read_text()) if quota_us > 0 else None
    except (OSError, ValueError):
        return None


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Whole cores by affinity and quota, at least 1. ONNX Runtime's own default sees neither."""
    cores = len(os.sched_getaffinity(0))
    quota = quota_cores(cgroup)
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as it says it; "" where it does not."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def intra_op_threads(configured: int) -> int:
    """Threads of one run: as configured, or one core less than usable, which the front end keeps."""
    return configured or max(1, usable_cores() - 1)
