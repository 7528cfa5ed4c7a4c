"""`podium doctor` looks at the machine it runs on."""

import os

from podium.cli.doctor import PACKAGES, examine
from server.machine import intra_op_threads


def test_the_doctor_reports_what_a_server_would_choose() -> None:
    """Cores, threads, versions: each finding once, and the threads are the server's own choice."""
    found = {finding.name: finding.value for finding in examine()}

    assert set(PACKAGES) < found.keys()
    assert found["threads of a run"].startswith(f"{intra_op_threads(0)} of ")
    assert found["cores by affinity"] == f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}"
    assert "CPUExecutionProvider" in found["execution providers"]
