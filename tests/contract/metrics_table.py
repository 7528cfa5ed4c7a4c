"""The table of docs/metrics.md: what a server publishes, as the document has it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.contract.source_tree import REPOSITORY

_ROW = re.compile(r"^\| `(podium_\w+)` \| (\w+) \|([\w, ]*)\| (\w+) \|", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Metric:
    """One row."""

    kind: str
    labels: frozenset[str]
    unit: str

    @property
    def suffixes(self) -> frozenset[str]:
        """What its samples' names end in, behind its own."""
        return frozenset(
            {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}[self.kind]
        )


def documented() -> dict[str, Metric]:
    """Every metric by its name."""
    text = (REPOSITORY / "docs" / "metrics.md").read_text()
    return {
        name: Metric(kind, frozenset(filter(None, labels.strip().split(", "))), unit)
        for name, kind, labels, unit in _ROW.findall(text)
    }
