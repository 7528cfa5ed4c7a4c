"""Data of the movies tests: a small simulated world, and the real ratings where they are."""

from __future__ import annotations

import pytest

from examples.data import locate
from examples.movies.data import FOLDER, read
from examples.movies.protocol import Protocol, split
from examples.ratings import Dataset
from examples.world.simulation import WorldConfig, simulate


@pytest.fixture(scope="session")
def small() -> Dataset:
    return simulate(WorldConfig(listeners=600, items=400, visits_median=12.0)).dataset


@pytest.fixture(scope="session")
def small_protocol(small: Dataset) -> Protocol:
    return split(small)


@pytest.fixture(scope="session")
def real() -> Dataset:
    source = locate(FOLDER)
    if source.folder is None:
        pytest.skip(f"{FOLDER} is in neither $PODIUM_DATA, ./data nor ../shared/data")
    return read(source.folder, source.name)
