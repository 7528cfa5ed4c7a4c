"""Running graphs while exporting. The only place in `export` that creates ONNX Runtime sessions.

One thread and no spinning, as the server's executors run; and no fallback, no telemetry.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnxruntime as ort

from export.codec import Codec, Encoded
from export.reference import Heads
from export.spec import Array
from export.weights import INLINE_BYTES_MAX, on_disk, require_room, weight_bytes

PROVIDERS = ("CPUExecutionProvider",)
_LOG_ERRORS = 3


class Runner:
    """One session on a graph."""

    def __init__(
        self,
        model: onnx.ModelProto | bytes,
        *,
        optimize: bool = True,
        inline_bytes_max: int = INLINE_BYTES_MAX,
    ) -> None:
        self._session = _session(model, _options(optimize), inline_bytes_max)
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once; every output by name."""
        return dict(zip(self.outputs, self._session.run(None, dict(feeds)), strict=True))

    def shrink(self, feeds: Mapping[str, Array]) -> None:
        """Run once and give memory back that larger runs have left in the session."""
        options = ort.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._session.run(None, dict(feeds), options)

    def heads(self, codec: Codec, requests: Sequence[Encoded]) -> Heads:
        """Every head's scores of a batch of requests, float32 [all candidates]."""
        return self.run(codec.feeds(requests))


def optimized_op_counts(model: onnx.ModelProto, inline_bytes_max: int = INLINE_BYTES_MAX) -> dict[str, int]:
    """Operators that ONNX Runtime really runs after its own optimisations, most frequent first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = _options(optimize=True)
        options.optimized_model_filepath = str(path)
        if weight_bytes(model) > inline_bytes_max:
            require_room(Path(folder), weight_bytes(model), "a temporary copy of the graph")
            options.add_session_config_entry(
                "session.optimized_model_external_initializers_file_name", "weights"
            )
        _session(model, options, inline_bytes_max)
        nodes = onnx.load(path, load_external_data=False).graph.node
    return dict(Counter(node.op_type for node in nodes).most_common())


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy of the graph that also returns these intermediate values."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    present = {output.name for output in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    return copy


def _session(
    model: onnx.ModelProto | bytes, options: ort.SessionOptions, inline_bytes_max: int
) -> ort.InferenceSession:
    if isinstance(model, bytes) or weight_bytes(model) <= inline_bytes_max:
        data = model if isinstance(model, bytes) else model.SerializeToString()
        return ort.InferenceSession(data, options, providers=list(PROVIDERS), enable_fallback=0)
    with on_disk(model, inline_bytes_max) as path:  # mapped: it may go once the session is made
        return ort.InferenceSession(str(path), options, providers=list(PROVIDERS), enable_fallback=0)


def _options(optimize: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _LOG_ERRORS
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    return options
