"""The server's side of a first sight: asks the child about a bundle, unless it is known to be sound."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from protos.manifest import MANIFEST_FILE
from server.config import Config
from server.engine.bundle import BadBundle
from server.first_sight.memory import Memory
from server.first_sight.verdict import Question, Verdict

MANIFEST_BYTES_MAX: Final = 16 << 20
_CHILD: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from server.first_sight.child import main; main()"
)
_GRACE_S: Final = 30.0
"""The child keeps the time itself; this much later it is given up with the bundle."""


class FirstSight:
    """Looks at bundles in a child process that starts when the first unknown one comes."""

    def __init__(self, config: Config, log: Any) -> None:
        self._config = config
        self._log = log
        self._memory = Memory(config.state_dir, config)
        self._child: subprocess.Popen[bytes] | None = None

    def look(self, path: Path) -> Mapping[str, str]:
        """Look at a bundle in folder `path` (NAME/VERSION) before it is opened here.

        Returns:
            variant -> the sentence that refuses it; {} = all are sound.

        Raises:
            BadBundle: it must not be opened. One sentence.
        """
        manifest = _read_manifest(path)
        if self._memory.knows(manifest):
            return {}
        began = time.perf_counter()
        verdict = self._ask(path)
        if verdict.refused:
            raise BadBundle(verdict.refused)
        if verdict.sound:
            self._memory.keep(manifest, f"{path.parent.name}/{path.name}")
        seconds = round(time.perf_counter() - began, 3)
        self._log.info("first sight", model=path.parent.name, version=path.name, check_s=seconds)
        return verdict.variants

    def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            with child:
                child.kill()

    def _ask(self, path: Path) -> Verdict:
        child = self._child = self._child or _start()
        assert child.stdin is not None
        assert child.stdout is not None
        question = Question(bundle=str(path.absolute()), config=self._config)
        answer = b""
        try:
            child.stdin.write(msgspec.json.encode(question) + b"\n")
            child.stdin.flush()
            wait_s = self._config.model_files.wall_s_max + _GRACE_S
            if select.select([child.stdout], [], [], wait_s)[0]:
                answer = child.stdout.readline()
            return msgspec.json.decode(answer, type=Verdict)
        except (OSError, msgspec.DecodeError):
            self.close()
            return Verdict(refused=f"{MANIFEST_FILE}: the checking process ended; try again")


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libraries shout before they die; what there is to say is in the verdict
        start_new_session=True,  # a terminal's Ctrl-C is the server's to answer
    )


def _read_manifest(path: Path) -> bytes:
    try:
        with (path / MANIFEST_FILE).open("rb") as stream:
            data = stream.read(MANIFEST_BYTES_MAX + 1)
    except OSError as error:
        raise BadBundle(f"{MANIFEST_FILE} cannot be read: {error.strerror}") from error
    if len(data) > MANIFEST_BYTES_MAX:
        raise BadBundle(f"{MANIFEST_FILE} has more than {MANIFEST_BYTES_MAX} bytes; export it again")
    return data
