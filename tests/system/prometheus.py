"""Debian's Prometheus, scraping real servers on loopback once a second."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.tools import tool

START_S_MAX = 30.0
ASK_S_MAX = 10.0
SCRAPE_S = 1

Series = list[dict[str, Any]]
"""`metric` (labels) with `value` (an instant) or `values` (a range), as Prometheus writes them."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs."""

    url: str
    log: Path

    def ask(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of its API, `path` as in "query".

        Raises:
            AssertionError: it refused, in its own words.
        """
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=ASK_S_MAX) as reply:
                answer = json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None
        assert "success" == answer["status"], answer
        return answer["data"]

    def query(self, expression: str) -> Series:
        """Series of an expression now."""
        result: Series = self.ask("query", query=expression)["result"]
        return result

    def value(self, expression: str) -> float:
        """The one value of an expression now; NaN: there is none yet."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression} has {len(found)} series"
        return float(found[0]["value"][1]) if found else float("nan")

    def firing(self) -> dict[str, dict[str, str]]:
        """Alert -> labels of one of its instances, of those that fire now."""
        alerts = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"]: one["labels"] for one in alerts if one["state"] == "firing"}

    def wait_for(self, condition: Callable[[Prometheus], bool], seconds_max: float) -> float:
        """Seconds until the condition held; fails after `seconds_max`."""
        began = time.monotonic()
        while not condition(self):
            assert time.monotonic() - began < seconds_max, f"not within {seconds_max} s: {self.firing()}"
            time.sleep(0.2)
        return time.monotonic() - began


@contextmanager
def running(folder: Path, targets: Sequence[str], rules: Sequence[Path] = ()) -> Iterator[Prometheus]:
    """Start one over an empty folder; it has scraped every target when this returns, and is ended with it.

    Args:
        folder: for its configuration, data and log.
        targets: operations ports as "127.0.0.1:8002".
        rules: files of rules, evaluated once a second.
    """
    program = tool("prometheus")
    every = f"{SCRAPE_S}s"
    configuration = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(path.resolve()) for path in rules],
        "scrape_configs": [{"job_name": "podium", "static_configs": [{"targets": list(targets)}]}],
    }
    file, log = folder / "prometheus.yml", folder / "prometheus.log"
    file.write_text(json.dumps(configuration))  # JSON is YAML
    port = _free_port()
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=output,
            stderr=output,
        )
    found = Prometheus(f"http://127.0.0.1:{port}", log)
    try:
        _wait_until_it_scrapes(found, process, len(targets))
        yield found
    finally:
        process.terminate()
        try:
            process.wait(ASK_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_scrapes(prometheus: Prometheus, process: subprocess.Popen[bytes], targets: int) -> None:
    ends = time.monotonic() + START_S_MAX
    while True:
        assert process.poll() is None, prometheus.log.read_text()
        try:
            if len(prometheus.query("up == 1")) == targets:
                return
        except OSError:
            pass  # not listening yet
        assert time.monotonic() < ends, prometheus.log.read_text()
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
