"""What a server spends: CPU time of its process, time in runs by its own account."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.server_process import ServerProcess

BUSY: Final = "podium_executor_busy_seconds_total"


@dataclass(frozen=True, slots=True)
class Spent:
    """Between two instants.

    Attributes:
        wall_s: from one to the other.
        cpu_s: of all threads.
    """

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU time so far, at a monotonic instant."""

    at_s: float
    cpu_s: float

    def until(self, later: Reading) -> Spent:
        """What was spent from here to there."""
        return Spent(later.at_s - self.at_s, later.cpu_s - self.cpu_s)


def read(pid: int) -> Reading:
    """CPU time of a process's living threads, to the nanosecond; `/proc/PID/stat` counts in hundredths."""
    spent_ns = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            spent_ns += int((thread / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that ended meanwhile
    return Reading(time.monotonic(), spent_ns / 1e9)


def busy_s(server: ServerProcess) -> float:
    """Time in runs so far, by the server's metrics page."""
    families = text_string_to_metric_families(server.metrics())
    return sum(sample.value for family in families for sample in family.samples if sample.name == BUSY)
