"""Where real data is: `$PODIUM_DATA`, then `data` in the repository, then `../shared/data` beside it.

The repository carries no third-party data. Rule: only this file reads the environment, and whoever prints a
figure prints `Source.name` beside it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Source:
    """Where one data set was found.

    Attributes:
        name: for people: "NAME from $PODIUM_DATA", "NAME from ../shared/data", or "simulated".
        folder: that holds its files; None = not found, simulate.
    """

    name: str
    folder: Path | None


def roots() -> tuple[tuple[str, Path], ...]:
    """The places looked at, in order, each with its printable name."""
    asked = os.environ.get("PODIUM_DATA")
    return (
        *((("$PODIUM_DATA", Path(asked)),) if asked else ()),
        ("./data", REPOSITORY / "data"),
        ("../shared/data", REPOSITORY / "../shared/data"),
    )


def locate(name: str, places: Sequence[tuple[str, Path]] | None = None) -> Source:
    """Find the folder of the data set called `name`.

    Args:
        name: the folder's name, as `movietweetings-100k`.
        places: (printable name, folder) in order of preference; None = `roots()`.
    """
    for label, root in roots() if places is None else places:
        folder = root / name
        if folder.is_dir():
            return Source(f"{name} from {label}", folder)
    return Source(SIMULATED, None)
