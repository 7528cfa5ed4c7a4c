"""Write the dashboards that are committed: `make dashboards`, after a change of a panel's description."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.dashboard import Dashboard
from deploy.grafana.overview import OVERVIEW
from deploy.grafana.scheduler import SCHEDULER

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = {"overview.json": OVERVIEW, "scheduler.json": SCHEDULER}


def text(dashboard: Dashboard) -> str:
    """A file's content."""
    return json.dumps(dashboard.json(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every file."""
    for name, dashboard in DASHBOARDS.items():
        (FOLDER / name).write_text(text(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
