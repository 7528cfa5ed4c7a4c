"""Generate podium/v1 from protos/. Run by `make protos` and by the test that the stubs are fresh.

python protos/generate.py OUT
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent


def main(out: str) -> int:
    """Write the message classes, their type stubs and the service stubs under `out`."""
    google_rpc = importlib.util.find_spec("google.rpc")
    assert google_rpc is not None
    assert google_rpc.submodule_search_locations is not None
    googleapis = Path(next(iter(google_rpc.submodule_search_locations))).parent.parent
    builtin = Path(protoc.__file__).parent / "_proto"
    return int(
        protoc.main(
            [
                "protoc",
                f"-I{HERE}",
                f"-I{googleapis}",
                f"-I{builtin}",
                f"--python_out={out}",
                f"--pyi_out={out}",
                f"--grpc_python_out={out}",
                str(HERE / "podium/v1/ranking.proto"),
            ]
        )
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
