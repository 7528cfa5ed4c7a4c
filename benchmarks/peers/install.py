"""`python -m benchmarks.peers.install`: an environment for each peer, with the versions of its file here.

Each has its own because their pins contradict ours: Triton's wheel wants numpy below 2, and the published
KServe stubs a protobuf of their own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BUILD = Path("build/peers")
PEERS = ("triton", "mlserver")


def venv(peer: str) -> Path:
    """The folder of a peer's environment."""
    return BUILD / f"{peer}-venv"


def main() -> int:
    """Make what is missing or older than its file; exit code 1 if one could not be made."""
    failed = [peer for peer in PEERS if not _fresh(peer) and not _install(peer)]
    for peer in failed:
        print(f"{peer}: not installed; the benchmark goes on without it", file=sys.stderr)
    return 1 if failed else 0


def _pins(peer: str) -> Path:
    return HERE / f"{peer}.txt"


def _fresh(peer: str) -> bool:
    stamp = venv(peer) / ".installed"
    return stamp.exists() and stamp.stat().st_mtime >= _pins(peer).stat().st_mtime


def _install(peer: str) -> bool:
    """The file lists every package, so pip resolves nothing."""
    made = venv(peer)
    pip = [str(made / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    for command in ([sys.executable, "-m", "venv", "--clear", str(made)], [*pip, "-r", str(_pins(peer))]):
        if subprocess.run(command).returncode:
            return False
    (made / ".installed").touch()
    return True


if __name__ == "__main__":
    raise SystemExit(main())
