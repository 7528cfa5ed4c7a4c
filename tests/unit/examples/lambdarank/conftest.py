"""The real query groups where they are."""

from __future__ import annotations

import pytest

from examples.data import locate
from examples.lambdarank.data import FOLDER


@pytest.fixture(scope="session")
def _data() -> None:
    if locate(FOLDER).folder is None:
        pytest.skip(f"{FOLDER} is in neither $PODIUM_DATA, ./data nor ../shared/data")
