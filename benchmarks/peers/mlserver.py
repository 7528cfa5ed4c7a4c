"""MLServer with a runtime of ours; README.md says why it is set up so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import wire
from benchmarks.peers.kserve import KServe, model_name
from benchmarks.peers.process import PeerProcess, free_port
from benchmarks.peers.workload import Case

BATCHING = ((0, 0.0), (8, 0.005), (32, 0.01), (64, 0.02))
"""max_batch_size in requests, max_batch_time in s; 0 = no adaptive batching."""
LENGTH_BYTES = 4
"""In front of an element of a BYTES tensor."""


class MLServer(KServe):
    """A request is one element of each of its BYTES tensors; adaptive batching concatenates elements."""

    name = "MLServer, custom runtime"
    distributions = ("mlserver", "onnxruntime", "numpy", "grpcio")
    settings = tuple(f"max_batch_size {size}, max_batch_time {wait_s:g}" for size, wait_s in BATCHING)

    def message(self, case: Case) -> bytes:
        """Opaque bytes, one element per input."""
        return wire.infer_request(
            self.model(case),
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
        models = self.folder / "models"
        shutil.rmtree(models, ignore_errors=True)
        for number, (size, wait_s) in enumerate(BATCHING):
            name = model_name(number)
            (models / name).mkdir(parents=True)
            model = {
                "name": name,
                "implementation": "mlserver_runtime.Ranker",
                "max_batch_size": size,
                "max_batch_time": wait_s,
                "parameters": {"uri": str(self.graph)},
            }
            shutil.copy(Path(__file__).parent / "mlserver_runtime.py", models / name)
            (models / name / "model-settings.json").write_text(json.dumps(model))
        (models / "settings.json").write_text(json.dumps(settings))
        command = [str(self.venv.resolve() / "bin/mlserver"), "start", str(models)]
        return PeerProcess(command, {}, self.folder / "log")
