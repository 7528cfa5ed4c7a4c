"""promtool's word on the rules as they are shipped."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.rules import CASES, PROMETHEUS, RULES, hurried
from tests.system.tools import tool

pytestmark = pytest.mark.system


def promtool(*arguments: object) -> tuple[int, str]:
    """Exit code and all that it said."""
    done = subprocess.run(
        [tool("promtool", "prometheus"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_configuration_and_its_rules_are_sound() -> None:
    """As they lie in the folder that is mounted."""
    code, said = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert 0 == code, said
    assert len(RULES) == said.count("rules found"), said


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should(cases: Path) -> None:
    """Fires in its stated time, silent when well, guarded when traffic is low, over after the fault."""
    code, said = promtool("test", "rules", cases)
    assert 0 == code, said


def test_a_threshold_that_moves_is_noticed(tmp_path: Path) -> None:
    """The cases can fail: with ten times the threshold the page does not come, and promtool says so."""
    for folder in ("rules", "tests"):
        shutil.copytree(PROMETHEUS / folder, tmp_path / folder)
    alerts = tmp_path / "rules" / "alerts.yml"
    text = alerts.read_text()
    moved = text.replace(
        "model:podium_turned_away:ratio_rate5m > 0.1", "model:podium_turned_away:ratio_rate5m > 1"
    )
    assert moved != text
    alerts.write_text(moved)
    code, said = promtool("test", "rules", tmp_path / "tests" / "traffic.yml")
    assert code != 0
    assert "PodiumTurningAway" in said


def test_rules_in_a_hurry_are_sound(tmp_path: Path) -> None:
    """What the end-to-end tests run differs in its durations alone."""
    for path in hurried(tmp_path):
        code, said = promtool("check", "rules", path)
        assert 0 == code, said
