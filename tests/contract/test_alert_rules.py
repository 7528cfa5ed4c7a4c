"""No alert without a section to act by, a promtool case and a fault that fires it."""

from __future__ import annotations

import re

import pytest

from tests.e2e.running import REPOSITORY
from tests.system.rules import CASES, RULES, RUNBOOK, Alert, alerts
from tests.system.test_alerts import FAULT_OF, GONE, commands

ALERTS = alerts()
METRIC = re.compile(r"\b(podium_[a-z_]+)")


def test_every_alert_of_the_file_is_read() -> None:
    """What follows leaves none out."""
    assert RULES[1].read_text().count("- alert:") == len(ALERTS) > 0


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_an_alert_is_complete(alert: Alert) -> None:
    """Waits, says how bad it is, within what time it comes, what is so and what to do."""
    assert alert.says("for")
    assert alert.severity in ("page", "ticket")
    assert alert.fires_within_s > 0
    assert alert.says("summary")
    assert "description:" in alert.text
    assert alert.name == "PodiumDown" or "$value" in alert.text, "absent() has no value worth reading"
    assert f"docs/runbook.md#{alert.name.lower()}" == alert.says("runbook_url")


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_an_alert_has_its_section(alert: Alert) -> None:
    """The runbook's table says what the alert does; its section has commands, one of them checked."""
    row = f"| [{alert.name}](#{alert.name.lower()}) | {alert.severity} | {alert.says('fires_within')} |"
    assert row in RUNBOOK.read_text()
    assert any(printed for _, printed in commands(alert.name))


def test_the_runbook_has_no_other_sections() -> None:
    """An alert that is gone takes its section with it."""
    assert set(ALERTS) == set(re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE))


def test_every_alert_has_a_fault_and_a_case() -> None:
    """Each fires in an end-to-end fault and in a promtool case."""
    assert set(ALERTS) == {*FAULT_OF, *GONE}
    cases = "".join(path.read_text() for path in CASES)
    assert set(ALERTS) == set(re.findall(r'alertname="(\w+)"', cases))


def test_rules_read_metrics_that_are_documented() -> None:
    """A metric that is renamed takes the rules with it."""
    table = (REPOSITORY / "docs" / "metrics.md").read_text()
    documented = set(re.findall(r"^\| `(podium_\w+)`", table, re.MULTILINE))
    text = "".join(path.read_text() for path in RULES)
    selectors = re.sub(r"[a-z_]+:podium_\w+:\w+", "", text)
    for name in set(METRIC.findall(selectors)):
        assert re.sub("_(total|bucket|count|sum)$", "", name) in documented, name
