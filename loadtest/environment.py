"""Where a run was made: what a reader needs before comparing two of them."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import grpc
import numpy as np


def describe() -> dict[str, str]:
    """Machine and versions of the client's side."""
    return {
        "cpu": _cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "numpy": np.__version__,
        "uvloop": version("uvloop"),
        "podium": version("podium"),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
