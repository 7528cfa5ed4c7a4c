"""Which bundles were found sound before, by the hash of their manifest; kept in `state_dir`.

The manifest has the hash of every file, and those are compared at every load: what was sound still is.
A file's name also says by which checks, limits and ONNX Runtime. Refusals are not kept: limits may change.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from server.config import Config

CHECKS: Final = 1
"""Raised when a check is added: every bundle is then looked at again."""
_FOLDER: Final = "first_sight"


class Memory:
    """Remembers sound bundles; without a folder, none."""

    def __init__(self, state_dir: str, config: Config) -> None:
        self._folder = Path(state_dir) / _FOLDER if state_dir else None
        what = (config.model_files, config.limits, config.engine, config.batch.rows_max)
        self._checks = msgspec.json.encode(what) + f"{CHECKS} {version('onnxruntime')}".encode()

    def knows(self, manifest: bytes) -> bool:
        """Whether a bundle with this manifest was found sound by these checks."""
        return self._folder is not None and (self._folder / self._name(manifest)).is_file()

    def keep(self, manifest: bytes, what: str) -> None:
        """Remember a sound bundle. A folder that cannot be written costs the next start a check, no more.

        Args:
            what: for a person who reads the file.
        """
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            part = self._folder / f"{self._name(manifest)}.part"
            part.write_text(f"{what}\n")
            os.replace(part, self._folder / self._name(manifest))

    def _name(self, manifest: bytes) -> str:
        return hashlib.sha256(hashlib.sha256(manifest).digest() + self._checks).hexdigest()[:32]
