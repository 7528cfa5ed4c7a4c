"""MLServer with a runtime of ours; README.md says why it is set up so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import wire
from benchmarks.peers.kserve import MODEL, KServe
from benchmarks.peers.process import PeerProcess, free_port
from benchmarks.peers.workload import Case

BATCH_REQUESTS_MAX = 8
BATCH_WAIT_S_MAX = 0.0005
LENGTH_BYTES = 4
"""In front of an element of a BYTES tensor."""


class MLServer(KServe):
    """A request is one element of each of its BYTES tensors; adaptive batching concatenates elements."""

    name = "MLServer, custom runtime"
    distributions = ("mlserver", "onnxruntime", "numpy", "grpcio")

    def message(self, case: Case) -> bytes:
        """Opaque bytes, one element per input."""
        return wire.infer_request(
            MODEL,
            [
                wire.Tensor(name, "BYTES", (1,), wire.element(array.tobytes()))
                for name, array in case.feed.items()
            ],
        )

    def scores(self, answer: bytes) -> NDArray[np.float32]:
        """The one element of the one output."""
        return np.frombuffer(wire.raw_outputs(answer)[0][LENGTH_BYTES:], "<f4")

    def launch(self) -> PeerProcess:
        """Write its settings and start the server."""
        settings = {
            "debug": False,
            "host": "127.0.0.1",
            "http_port": free_port(),
            "grpc_port": self.port,
            "metrics_endpoint": None,
            "parallel_workers": 0,
        }
        model = {
            "name": MODEL,
            "implementation": "mlserver_runtime.Ranker",
            "max_batch_size": BATCH_REQUESTS_MAX,
            "max_batch_time": BATCH_WAIT_S_MAX,
            "parameters": {"uri": str(self.graph)},
        }
        shutil.copy(Path(__file__).parent / "mlserver_runtime.py", self.folder)
        (self.folder / "settings.json").write_text(json.dumps(settings))
        (self.folder / "model-settings.json").write_text(json.dumps(model))
        command = [str(self.venv.resolve() / "bin/mlserver"), "start", str(self.folder)]
        return PeerProcess(command, {}, self.folder / "log")
