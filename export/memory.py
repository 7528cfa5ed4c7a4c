"""Memory of a variant: what a process grows by when it loads the graph, and its peak while it runs.

Measured in a fresh process that has imported ONNX Runtime and nothing of ours: in the exporter, PyTorch's and
earlier sessions' memory would hide it. Reads `/proc/self/status`, so elsewhere than on Linux there is none.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import onnx

from export.gates.evidence import Evidence, Subject
from export.gates.speed import feeds_of

SHAPE = (8, 200)
"""(requests, candidates of each) of the runs whose peak is taken: the largest that `speed` judges."""
TIMEOUT_S = 60.0
_PROBE = r"""
import sys
import numpy as np, onnxruntime as ort

def kib(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key + ":"))

feeds = dict(np.load(sys.argv[2]))
options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.enable_mem_pattern = False
options.log_severity_level = 3
before = kib("VmRSS")
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"], enable_fallback=0)
loaded = kib("VmRSS")
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")  # the peak starts again, from what is resident now
for _ in range(3):
    session.run(None, feeds)
print(before, loaded, kib("VmHWM"))
"""


class Memory(msgspec.Struct, kw_only=True, frozen=True):
    """Bytes, of one variant with one session.

    Attributes:
        load_bytes: how much more is resident after the graph was loaded.
        peak_bytes: how much more at the peak while running batches of SHAPE, than before loading.
    """

    load_bytes: int
    peak_bytes: int


def measure(evidence: Evidence, subject: Subject) -> Memory | None:
    """Load and run a variant in a process of its own; None where that cannot be measured."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        graph, feeds = Path(folder) / "graph.onnx", Path(folder) / "feeds.npz"
        onnx.save(subject.model, graph)
        with zipfile.ZipFile(feeds, "w") as archive:  # np.savez has keywords of its own
            for name, array in feeds_of(evidence, *SHAPE).items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.save(member, array)
        done = subprocess.run(
            [sys.executable, "-I", "-c", _PROBE, str(graph), str(feeds)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    if done.returncode:
        return None
    before, loaded, peak = (int(word) * 1024 for word in done.stdout.split())
    return Memory(load_bytes=max(0, loaded - before), peak_bytes=max(0, peak - before))
