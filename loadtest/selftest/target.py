"""A mock server, started for a run and asked for its truth afterwards."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadtest.selftest.mock import READY
from loadtest.selftest.truth import Injected, Truth

START_S_MAX = 20.0
STOP_S_MAX = 10.0


@contextlib.contextmanager
def serving(injected: Injected, truth: Path, cores: set[int]) -> Iterator[str]:
    """Start it on these cores ({} = anywhere), give its address; its truth is in the file when it has ended.

    Raises:
        RuntimeError: it does not start, or does not end.
    """
    command = [sys.executable, "-m", "loadtest.selftest.mock", "--truth", str(truth)]
    command += ["--inject", msgspec.json.encode(injected).decode()]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            if cores:
                os.sched_setaffinity(process.pid, cores)
            assert process.stdin is not None
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], START_S_MAX)
            line = process.stdout.readline() if ready else ""
            if not line.startswith(READY):
                raise RuntimeError("the mock server did not start")
            yield line.removeprefix(READY).strip()
            process.stdin.close()
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError("the mock server did not end") from error
        finally:
            process.kill()


def read(truth: Path) -> Truth:
    """What the mock wrote."""
    return msgspec.json.decode(truth.read_bytes(), type=Truth)
