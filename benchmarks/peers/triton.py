"""Triton with its Python backend, from the wheel of nvidia-pytriton; README.md says why it is set up so."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench_sizes import FEATURES, HISTORY
from benchmarks.peers import wire
from benchmarks.peers.kserve import KServe, model_name
from benchmarks.peers.peer import IN_FLIGHT, Absent
from benchmarks.peers.process import PeerProcess
from benchmarks.peers.workload import Case

BATCHING = ((8, 0), (16, 0), (32, 0), (64, 0), (32, 500))
"""max_batch_size in requests, max_queue_delay_microseconds."""
SHARED_MEMORY = Path("/dev/shm")
DATATYPES = {"i": "INT64", "f": "FP32"}
"""numpy's kind -> KServe's name."""

CONFIG = """\
name: "{model}"
backend: "python"
max_batch_size: {batch}
input [
  {{ name: "history" data_type: TYPE_INT64 dims: [ {history} ] }},
  {{ name: "history_length" data_type: TYPE_INT64 dims: [ 1 ] }},
  {{ name: "item" data_type: TYPE_INT64 dims: [ -1 ] allow_ragged_batch: true }},
  {{ name: "features" data_type: TYPE_FP32 dims: [ -1, {features} ] allow_ragged_batch: true }}
]
output [ {{ name: "score" data_type: TYPE_FP32 dims: [ -1 ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
dynamic_batching {{ max_queue_delay_microseconds: {delay} }}
parameters {{ key: "graph" value: {{ string_value: "{graph}" }} }}
"""


class Triton(KServe):
    """A request is one element of a batch, [1, ...]; Triton groups what waits while the model runs."""

    name = "Triton, Python backend"
    distributions = ("nvidia-pytriton", "onnxruntime", "numpy")
    settings = tuple(f"max_batch_size {batch}, queue delay {delay_us} µs" for batch, delay_us in BATCHING)

    def message(self, case: Case) -> bytes:
        """Typed tensors, raw contents."""
        inputs = []
        for name, array in case.feed.items():
            shape = array.shape if name == "history" else (1, *array.shape)
            inputs.append(wire.Tensor(name, DATATYPES[array.dtype.kind], shape, array.tobytes()))
        return wire.infer_request(self.model(case), inputs)

    def scores(self, answer: bytes) -> NDArray[np.float32]:
        """The one output."""
        return np.frombuffer(wire.raw_outputs(answer)[0], "<f4")

    def version(self) -> str:
        """The server's own version is not the wheel's."""
        return f"Triton {server_version((self.folder / 'log').read_text())}, {super().version()}"

    def launch(self) -> PeerProcess:
        """Lay out backends and models, and start the server."""
        if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
            raise Absent(f"it needs a Python with a shared library; {sys.executable} has none")
        packages = next(self.venv.resolve().glob("lib/python*/site-packages"))
        wheel = packages / "pytriton/tritonserver"
        models = self._write_models()
        backends = self._write_backends(wheel)
        command = [str(wheel / "bin/tritonserver"), "--model-repository", str(models)]
        command += ["--backend-directory", str(backends), "--grpc-address", "127.0.0.1"]
        command += ["--grpc-port", str(self.port), "--allow-http=false", "--allow-metrics=false"]
        connections, streams = IN_FLIGHT
        command.append(f"--grpc-infer-allocation-pool-size={connections * streams}")
        command.append(f"--backend-config=python,shm-region-prefix-name={self._shared_memory()}")
        libraries = [str(packages / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR")]
        environ = {
            "LD_LIBRARY_PATH": ":".join(libraries),
            # The backend's stub finds its packages through the interpreter that PATH names, by nothing else.
            "PATH": f"{self.venv.resolve() / 'bin'}:/usr/bin:/bin",
        }
        return PeerProcess(command, environ, self.folder / "log")

    def stop(self) -> None:
        """End the server, and remove what a server that crashed left in shared memory."""
        super().stop()
        for region in SHARED_MEMORY.glob(f"{self._shared_memory()}*"):
            region.unlink()

    def _shared_memory(self) -> str:
        """Prefix of its regions' names."""
        return f"podium_peers_{os.getpid()}_"

    def _write_models(self) -> Path:
        models = self.folder / "models"
        shutil.rmtree(models, ignore_errors=True)
        for number, (batch, delay_us) in enumerate(BATCHING):
            name = model_name(number)
            (models / name / "1").mkdir(parents=True)
            shutil.copy(Path(__file__).parent / "triton_model.py", models / name / "1/model.py")
            config = CONFIG.format(
                model=name, batch=batch, delay=delay_us, history=HISTORY, features=FEATURES, graph=self.graph
            )
            (models / name / "config.pbtxt").write_text(config)
        return models

    def _write_backends(self, wheel: Path) -> Path:
        """The wheel's Python backend beside the stub for this Python, where the backend looks for it."""
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        stub = wheel / "python_backend_stubs" / python / "triton_python_backend_stub"
        if not stub.exists():
            raise Absent(f"its wheel has no stub for Python {python}")
        backends = self.folder / "backends"
        shutil.copytree(wheel / "backends", backends, dirs_exist_ok=True)
        shutil.copy(stub, backends / "python")
        return backends


def server_version(log: str) -> str:
    """From the table of options that the server prints at its start."""
    for line in log.splitlines():
        if line.startswith("| server_version "):
            return line.split("|")[2].strip()
    return "of unknown version"
