"""Where real data is looked for, in which order, and how its place is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.data import REPOSITORY, SIMULATED, Source, locate, roots


def test_the_first_place_that_has_it_wins(tmp_path: Path) -> None:
    """Two places hold the data set: the earlier is taken and named."""
    for place in ("one", "two"):
        (tmp_path / place / "set").mkdir(parents=True)
    places = [("none", tmp_path / "none"), ("first", tmp_path / "one"), ("second", tmp_path / "two")]

    assert Source("set from first", tmp_path / "one" / "set") == locate("set", places)


def test_nowhere_means_simulated(tmp_path: Path) -> None:
    """No place has it: no folder, and the name says simulated."""
    assert Source(SIMULATED, None) == locate("set", [("here", tmp_path)])


def test_the_environment_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$PODIUM_DATA is looked at before the repository's own data and the folder beside it."""
    monkeypatch.setenv("PODIUM_DATA", str(tmp_path))

    assert [tmp_path, REPOSITORY / "data", REPOSITORY / "../shared/data"] == [path for _, path in roots()]


def test_without_the_environment_two_places_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset $PODIUM_DATA adds no place."""
    monkeypatch.delenv("PODIUM_DATA", raising=False)

    assert ["./data", "../shared/data"] == [label for label, _ in roots()]
