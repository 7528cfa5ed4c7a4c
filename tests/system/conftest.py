"""What several system tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.browser import Browser, browser
from tests.system.tools import tool


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of a module: it takes seconds to start."""
    with browser(tool("chromium"), tmp_path_factory.mktemp("profile")) as started:
        yield started
