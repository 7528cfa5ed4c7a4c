"""Debian's tools: a test that needs one is skipped without it, except where all must be there (`.ci/run`)."""

from __future__ import annotations

import os
import shutil

import pytest


def tool(name: str, package: str | None = None) -> str:
    """Path of a program; `package` is Debian's, where it has another name."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed: apt-get install {package or name}"
        if os.environ.get("PODIUM_REQUIRE_TOOLS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found
