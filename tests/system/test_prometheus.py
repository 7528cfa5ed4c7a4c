"""A real Prometheus reads what a server says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bundles.tiny import TINY
from tests.e2e.calls import dial
from tests.e2e.running import RunningServer
from tests.system.prometheus import running

pytestmark = pytest.mark.system


def test_prometheus_counts_what_was_sent(tmp_path: Path) -> None:
    """Five answers are five in Prometheus, too."""
    TINY.write(tmp_path / "models")
    server = RunningServer.start(tmp_path / "models", tmp_path / "stderr.txt", [])
    try:
        with running(tmp_path, [server.ops_url.removeprefix("http://")]) as prometheus:
            with dial(server.target) as caller:
                for _ in range(5):
                    caller.send(TINY.message(TINY.example(4))).ranked()
            scored = 'sum(podium_requests_total{outcome="scored"})'
            prometheus.wait_for(lambda now: now.value(scored) == 5, 10)
    finally:
        assert 0 == server.stop()
