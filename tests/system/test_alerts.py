"""Real servers in the faults that the alerts are for, a real Prometheus with the shipped rules in a hurry."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.running import REPOSITORY, environment
from tests.system import prometheus as prometheuses
from tests.system.faults import Faults, faults
from tests.system.prometheus import Prometheus
from tests.system.rules import HURRY, RUNBOOK, alerts, hurried

pytestmark = pytest.mark.system

SLACK_S = 15.0
"""Scrapes and evaluations are not hurried: one a second is one a minute of production."""
COMMAND_S_MAX = 30.0
WELL = "well"
FAULT_OF = {
    "PodiumBudgetBurnFast": ("failing", "failing"),
    "PodiumBudgetBurnSlow": ("failing", "failing"),
    "PodiumTurningAway": ("overloaded", "overloaded"),
    "PodiumNoServingVersion": ("refused", "refused"),
    "PodiumGoldenMissed": ("refused", "golden"),
    "PodiumExecutorStuck": ("stuck", "stuck"),
    "PodiumPredictionDrift": ("drifting", "drifting"),
    "PodiumLoopLag": ("still", "still"),
    "PodiumBudgetSpent": ("failing", "failing"),
}
"""Alert -> the server in that fault, and the model."""
GONE = ("PodiumServerDown", "PodiumDown")
"""These need servers that have ended: the last test."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Servers in faults, and who looks at them.

    Attributes:
        began_s: when Prometheus had read them all, Unix time.
    """

    faults: Faults
    prometheus: Prometheus
    began_s: float

    def fired_s(self, alert: str) -> float:
        """Unix time of the first evaluation at which it fired; NaN: it has not."""
        series = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
        return self.prometheus.value(f"min(min_over_time(timestamp({series})[10m:1s]))")

    def wait_for(self, alert: str, since_s: float) -> float:
        """Seconds since `since_s` until it fired; fails when that is later than it says."""
        most_s = alerts()[alert].fires_within_s / HURRY + SLACK_S
        left_s = max(since_s + most_s - time.time(), 1.0)
        self.prometheus.wait_for(lambda _: self.fired_s(alert) > 0, left_s)
        took_s = self.fired_s(alert) - since_s
        assert took_s <= most_s, f"{alert} took {took_s} s"
        return took_s


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One healthy server and one per fault."""
    folder = tmp_path_factory.mktemp("alerts")
    with faults(folder) as broken:
        broken.well(WELL)
        broken.failing("failing")
        broken.overloaded("overloaded")
        broken.drifting("drifting")
        broken.refused("refused", "golden")
        broken.standing_still("still")
        broken.stuck("stuck")
        targets = [server.ops_url.removeprefix("http://") for server in broken.servers.values()]
        with prometheuses.running(folder, targets, hurried(folder)) as prometheus:
            yield Watched(broken, prometheus, time.time())


@pytest.mark.parametrize("alert", FAULT_OF)
def test_a_fault_fires_its_alert_and_the_runbook_is_right(watched: Watched, alert: str) -> None:
    """It fires within its stated time, for the model or server in that fault, and every command of
    its section does what the runbook says."""
    server, model = FAULT_OF[alert]
    watched.wait_for(alert, watched.began_s)
    instance = watched.faults.servers[server].ops_url.removeprefix("http://")
    labels = [one["metric"] for one in watched.prometheus.query(f'ALERTS{{alertname="{alert}"}}')]
    assert labels
    assert any(
        one.get("model", model) == model and one.get("instance", instance) == instance for one in labels
    )
    follow(watched, alert, server, model)


def test_a_server_that_is_well_is_in_no_alert(watched: Watched) -> None:
    """Under load, among the broken ones, as long as the slowest alert took; and no server is missed."""
    instance = watched.faults.servers[WELL].ops_url.removeprefix("http://")
    answered = f'sum(podium_requests_total{{model="{WELL}",outcome="scored"}})'
    assert watched.prometheus.value(answered) >= 100
    for label, value in (("model", WELL), ("instance", instance)):
        fired = watched.prometheus.query(
            f'last_over_time(ALERTS{{alertstate="firing",{label}="{value}"}}[10m])'
        )
        assert [] == [one["metric"] for one in fired]
    assert set(FAULT_OF) >= set(watched.prometheus.firing())


def test_servers_that_are_gone(watched: Watched) -> None:
    """One gone is a ticket, all gone is a page: each in its stated time, and the runbook is right."""
    since_s = time.time()
    watched.faults.servers["failing"].stop()
    watched.wait_for("PodiumServerDown", since_s)
    assert "PodiumDown" not in watched.prometheus.firing()
    follow(watched, "PodiumServerDown", "failing", "failing")
    since_s = time.time()
    watched.faults.stop()
    watched.wait_for("PodiumDown", since_s)
    follow(watched, "PodiumDown", "failing", "failing")


def follow(watched: Watched, alert: str, server: str, model: str) -> None:
    """Run the commands of an alert's section; each must exit 0 and print what the runbook says."""
    found = watched.faults.servers[server]
    names = {
        "OPS": found.ops_url,
        "TARGET": found.target,
        "PROM": watched.prometheus.url,
        "MODEL": model,
        "MODELS": str(watched.faults.models(server)),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "COLUMNS": "200",
    }
    steps = commands(alert)
    assert steps
    for command, printed in steps:
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            env=environment(names),
            capture_output=True,
            text=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )
        assert 0 == done.returncode, (command, done.stdout, done.stderr)
        assert printed.replace("$MODEL", model) in done.stdout, (command, done.stdout, done.stderr)


def commands(alert: str) -> list[tuple[str, str]]:
    """Each command of a section, with what it prints ("" = not said)."""
    text = RUNBOOK.read_text()
    section = text.split(f"\n## {alert}\n", 1)[1].split("\n## ", 1)[0]
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("# prints: "):
                found[-1] = (found[-1][0], line.removeprefix("# prints: "))
            else:
                found.append((line, ""))
    return found
