"""The shipped rules: where they lie, what alerts say of themselves, and the same rules in a hurry.

Production's windows are minutes to days. Faults of a test last seconds, so the end-to-end tests run the very
same files with every duration divided by HURRY: each range of a selector (`[5m]` becomes `[5s]`) and each
`for`. Names, thresholds and guards stay. promtool tests the files as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.running import REPOSITORY

PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
RULES = (PROMETHEUS / "rules" / "recording.yml", PROMETHEUS / "rules" / "alerts.yml")
CASES = tuple(sorted((PROMETHEUS / "tests").glob("*.yml")))
RUNBOOK = REPOSITORY / "docs" / "runbook.md"
HURRY = 60
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RANGE = re.compile(r"\[(\d+)([smhd])\]")
_FOR = re.compile(r"^( +(?:keep_firing_)?for: )(\d+)([smhd])$", re.MULTILINE)
_ALERT = re.compile(r"^ +- alert: (\w+)\n(.*?)(?=^ +- alert: |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, as its file writes it.

    Attributes:
        text: of its rule.
        fires_within_s: after the beginning of a fault, in production.
    """

    name: str
    text: str

    def says(self, key: str) -> str:
        """The value of a key on a line of its own; "" when there is none."""
        found = re.search(rf"^ +{key}: *(.*)$", self.text, re.MULTILINE)
        return found.group(1) if found else ""

    @property
    def severity(self) -> str:
        """`page` or `ticket`."""
        return self.says("labels").removeprefix("{severity: ").removesuffix("}")

    @property
    def fires_within_s(self) -> int:
        """Seconds, of production."""
        text = self.says("fires_within")
        return int(text[:-1]) * SECONDS[text[-1]]


def alerts() -> dict[str, Alert]:
    """Every alert by name."""
    return {name: Alert(name, text) for name, text in _ALERT.findall(RULES[1].read_text())}


def hurried(folder: Path) -> list[Path]:
    """Write the rules with every duration divided by HURRY; return the files."""
    written = []
    for path in RULES:
        text = _RANGE.sub(lambda found: f"[{_divided(found[1], found[2])}]", path.read_text())
        text = _FOR.sub(lambda found: found[1] + _divided(found[2], found[3]), text)
        written.append(folder / path.name)
        written[-1].write_text(text)
    return written


def _divided(number: str, unit: str) -> str:
    seconds, rest = divmod(int(number) * SECONDS[unit], HURRY)
    assert not rest, f"{number}{unit} is no multiple of {HURRY} s"
    return f"{seconds}s"
