"""Our own null server, started for a run and ended with it."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator

from loadtest.null_server import READY

START_S_MAX = 20.0


@contextlib.contextmanager
def running(candidates: int, cores: set[int]) -> Iterator[str]:
    """Start it on these cores ({} = anywhere) with answers of so many candidates; give its address.

    Raises:
        ConnectionError: it does not start.
    """
    command = [sys.executable, "-m", "loadtest.null_server", "--candidates", str(candidates)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            if cores:
                os.sched_setaffinity(process.pid, cores)
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], START_S_MAX)
            line = process.stdout.readline() if ready else ""
            if not line.startswith(READY):
                raise ConnectionError("the null server did not start")
            yield line.removeprefix(READY).strip()
        finally:
            process.kill()
