"""A peer's processes: started on the server's core, asked for their CPU time, ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.server_process import SERVER_CORE

STOP_S_MAX = 40.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_s(pid: int) -> float:
    """User and system time so far, of a process and its living descendants."""
    parents, ticks = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            parents[int(entry.name)] = int(fields[1])
            ticks[int(entry.name)] = int(fields[11]) + int(fields[12])
    family = {pid}
    for _ in parents:
        more = {one for one, parent in parents.items() if parent in family}
        if more <= family:
            break
        family |= more
    return sum(ticks.get(one, 0) for one in family) / _TICKS_PER_S


class PeerProcess:
    """A server in a process group of its own, so that what it starts ends with it."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("w") as out:
            self._process = subprocess.Popen(
                ["taskset", "-c", SERVER_CORE, *command],
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the first process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None = it runs; negative = ended by that signal."""
        return self._process.poll()

    def last_words(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text()[-600:]

    def stop(self) -> None:
        """SIGTERM, wait, and SIGKILL for what is left of the group."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S_MAX)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
