"""Estimate the image's size without building it: `python deploy/image_size.py`, where podium is installed.

Adds up the files of podium's runtime requirements as they are installed here (what pip compiled included) and
the base layer. An estimate: it knows no layers' overhead. Exit code 1 above LIMIT_MB.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

LIMIT_MB = 450
BASE_MB = 131
"""python:3.11-slim-bookworm uncompressed, as `docker image ls` gave it in 2025; not measured here."""
OWN = ("http2", "measures", "podium", "protos", "server")
"""What the Dockerfile copies."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def requirements(name: str) -> dict[str, Distribution]:
    """A package's requirements without extras, and theirs, by name.

    Raises:
        PackageNotFoundError: one that applies here is not installed.
    """
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        package = distribution(waiting.pop())
        for line in package.requires or ():
            text, _, marker = line.partition(";")
            match = _NAME.match(text)
            if match is None or "extra" in marker:
                continue
            wanted = match[0].lower()
            try:
                if wanted not in found:
                    found[wanted] = distribution(wanted)
                    waiting.append(wanted)
            except PackageNotFoundError:
                if not marker:  # else it is for another platform or another Python
                    raise
    return found


def size_bytes(package: Distribution) -> int:
    """Of all files that an installed package brought."""
    files = [Path(str(package.locate_file(each))) for each in package.files or ()]
    return sum(file.stat().st_size for file in files if file.is_file())


def main() -> int:
    """Print a table and the sum, in MB of 10^6 bytes."""
    sizes = {name: size_bytes(package) for name, package in requirements("podium").items()}
    root = Path(__file__).resolve().parents[1]
    sizes["podium itself"] = sum(
        path.stat().st_size for folder in OWN for path in (root / folder).rglob("*") if path.suffix != ".pyc"
    )
    for name, size in sorted(sizes.items(), key=lambda each: -each[1]):
        if size >= 1e6:
            print(f"{name:28} {size / 1e6:6.1f} MB")
    total_mb = sum(sizes.values()) / 1e6 + BASE_MB
    print(f"{'others':28} {sum(size for size in sizes.values() if size < 1e6) / 1e6:6.1f} MB")
    print(f"{'base layer (given)':28} {BASE_MB:6.1f} MB")
    print(f"estimate: {total_mb:.0f} MB, at most {LIMIT_MB}")
    return int(total_mb > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
