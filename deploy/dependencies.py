"""Print what the server needs of PyPI, a line each: `python deploy/dependencies.py pyproject.toml`.

So that an image's layer of dependencies is made before the code is copied, from the one list there is.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Read the project file named on the command line."""
    project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
    print("\n".join(project["dependencies"]))


if __name__ == "__main__":
    main()
