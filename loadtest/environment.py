"""Where a run was made: what a reader needs before comparing two of them."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import grpc
import numpy as np
import scipy

_SYSTEM = Path("/sys/devices/system")
_GOVERNOR = _SYSTEM / "cpu/cpu0/cpufreq/scaling_governor"
_SMT = _SYSTEM / "cpu/smt/active"
_CLOCK = _SYSTEM / "clocksource/clocksource0/current_clocksource"
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def describe() -> dict[str, str]:
    """Machine and versions of the client's side; "unknown" for what the system does not tell."""
    return {
        "cpu": cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "threads per core": {"0": "1", "1": "2"}.get(_read(_SMT), "unknown"),
        "governor": _read(_GOVERNOR),
        "cgroup cpu.max": _read(_QUOTA),
        "clock source": _read(_CLOCK),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "uvloop": version("uvloop"),
        "podium": version("podium"),
        "commit": _commit(),
    }


def cpu_model() -> str:
    """The processor's own name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip() or "unknown"
    except OSError:
        return "unknown"


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
