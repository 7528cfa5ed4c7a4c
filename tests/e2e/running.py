"""One real server process on loopback: start it, ask its operations port, stop it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from prometheus_client.parser import text_string_to_metric_families

REPOSITORY = Path(__file__).resolve().parents[2]
START_S_MAX = 30.0
STOP_S_MAX = 20.0
WAIT_S_MAX = 10.0


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """This process's environment without any PODIUM_ key, plus `extra`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PODIUM_")}
    return kept | (extra or {})


def start_and_fail(arguments: Sequence[str], extra: dict[str, str] | None = None) -> tuple[int, str]:
    """Run the server where it must not start; return its exit code and what it said on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "server", "--port", "0", "--ops-port", "0", *arguments],
        cwd=REPOSITORY,
        env=environment(extra),
        capture_output=True,
        text=True,
        timeout=START_S_MAX,
        check=False,
    )
    return done.returncode, done.stderr


class Scrape:
    """One reading of /metrics."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._samples = [sample for family in self.families.values() for sample in family.samples]

    def total(self, sample: str, **labels: str) -> float:
        """Sum over the series of a sample (as `podium_requests_total`) that carry these labels."""
        return sum(
            entry.value
            for entry in self._samples
            if entry.name == sample and labels.items() <= entry.labels.items()
        )


@dataclass
class RunningServer:
    """A server that has said where it listens."""

    process: subprocess.Popen[str]
    target: str
    ops_url: str
    errors: Path
    _output: IO[str] = field(repr=False)

    @classmethod
    def start(
        cls, models: Path, errors: Path, arguments: Sequence[str], extra: dict[str, str] | None = None
    ) -> RunningServer:
        """Start a server over `models`; its standard error goes to the file `errors`."""
        command = [sys.executable, "-m", "server", "--models", str(models), "--port", "0", "--ops-port", "0"]
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [*command, "--set", "drain.lame_duck_s=0", *arguments],
                cwd=REPOSITORY,
                env=environment(extra),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_S_MAX)
        line = process.stdout.readline() if ready else ""
        if not line.startswith("podium: serving on "):
            process.kill()
            process.wait()
            process.stdout.close()
            raise AssertionError(f"the server did not start: {line!r} {errors.read_text()}")
        words = line.replace(",", " ").split()
        return cls(process, words[3], words[6], errors, process.stdout)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the operations port."""
        try:
            with urllib.request.urlopen(self.ops_url + path, timeout=WAIT_S_MAX) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> Scrape:
        """Read /metrics."""
        status, text = self.get("/metrics")
        assert 200 == status
        return Scrape(text)

    def wait_for(self, condition: Callable[[Scrape], bool]) -> Scrape:
        """Scrape until the condition holds; fails after WAIT_S_MAX."""
        ends = time.monotonic() + WAIT_S_MAX
        while True:
            scrape = self.metrics()
            if condition(scrape):
                return scrape
            assert time.monotonic() < ends, "the metrics never said so"
            time.sleep(0.005)

    def logs(self) -> list[dict[str, Any]]:
        """The log so far."""
        lines = self.errors.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def logged(self, event: str) -> dict[str, Any]:
        """The one log line with this event."""
        (line,) = (line for line in self.logs() if line["event"] == event)
        return line

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Exit code, once it has ended; a server that does not end is killed and fails the test."""
        try:
            return self.process.wait(STOP_S_MAX)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._output.close()

    def stop(self) -> int:
        """SIGTERM, if it still runs; return the exit code."""
        if self.process.poll() is None:
            self.signal()
        return self.wait()


Start = Callable[..., RunningServer]
"""The fixture `start(models, *arguments, env=None)`."""
