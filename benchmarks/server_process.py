"""Podium as a measured process: started pinned to one core, asked for its memory, stopped."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

SERVER_CORE = "0"
CLIENT_CORE = "1"


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server.

    Attributes:
        ready_s: process start to the line that says it serves.
    """

    process: subprocess.Popen[str]
    port: int
    ops: str
    ready_s: float

    @classmethod
    def start(
        cls, models: Path, sets: Sequence[str] = (), environ: dict[str, str] | None = None
    ) -> ServerProcess:
        """Start a server on SERVER_CORE and free ports.

        Raises:
            RuntimeError: it did not say that it serves.
        """
        command = ["taskset", "-c", SERVER_CORE, sys.executable, "-m", "server", "--models", str(models)]
        command += ["--port", "0", "--ops-port", "0", "--set", "drain.lame_duck_s=0"]
        for entry in sets:
            command += ["--set", entry]
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if "serving on" not in line:
            raise RuntimeError(f"the server did not start: exit code {process.wait()}")
        target, ops = line.removeprefix("podium: serving on ").strip().split(", operations on ")
        return cls(process, int(target.rpartition(":")[2]), ops, time.monotonic() - began)

    def rss_mib(self) -> float:
        """Resident memory."""
        return rss_mib(self.process.pid)

    def cpu_s(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100  # USER_HZ

    def metrics(self) -> str:
        """The text of /metrics."""
        with urlopen(f"{self.ops}/metrics") as reply:
            text: str = reply.read().decode()
            return text

    def stop(self) -> None:
        """SIGTERM, then wait."""
        self.process.terminate()
        self.process.wait(timeout=40)


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no VmRSS")
