"""The image, built and run for real by Debian's buildah and podman."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.bundles.tiny import TINY
from tests.e2e.running import REPOSITORY

TOOLS = ("buildah", "podman", "runc", "mmdebstrap")


@pytest.mark.slow
@pytest.mark.system
def test_the_image_serves_without_rights_on_a_read_only_root(tmp_path: Path) -> None:
    """It builds, becomes healthy as uid 10001, lists its model, has no torch and no pip, and drains."""
    if any(shutil.which(tool) is None for tool in TOOLS) or os.geteuid() != 0:
        pytest.skip(f"needs {', '.join(TOOLS)} and root")
    TINY.write(tmp_path / "models")
    for folder in (tmp_path, *tmp_path.parents[:2]):  # the image's user must be able to read it
        folder.chmod(0o755)
    done = subprocess.run(
        [REPOSITORY / "deploy" / "try-image", tmp_path / "models"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    said = done.stdout
    assert "SERVING\n" in said
    assert "uid 10001\n" in said
    assert "torch None pip None\n" in said
    assert "tiny" in said
    assert said.endswith("exit code 0\n")
