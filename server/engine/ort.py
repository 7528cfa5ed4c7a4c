"""The ONNX Runtime engine. The only place that imports onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

# Read at import by the library; off, because a server that answers for private data reports to nobody.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251

import onnxruntime as ort

from server.domain import Scores
from server.engine.api import Batch, Brake, EngineError, ProviderMissing
from server.engine.layout import Layout

_WARNING = (
    3  # ORT's severity scale: 2 is warning, 3 is error; a warning per session is noise in a server's log
)


def require_providers(providers: Sequence[str]) -> None:
    """Check the configured execution providers before anything is loaded.

    Raises:
        ProviderMissing: one is not available; ONNX Runtime would otherwise fall back silently.
    """
    available = ort.get_available_providers()
    for provider in providers:
        if provider not in available:
            raise ProviderMissing(
                f"engine.providers: {provider} is not available in this installation of onnxruntime "
                f"{ort.__version__} (available: {', '.join(available)})"
            )


class OrtBrake:
    """ONNX Runtime looks at it between two nodes: a kernel that hangs is not ended by it."""

    def __init__(self) -> None:
        self.options = ort.RunOptions()

    def pull(self) -> None:
        """End the run that goes by these options."""
        self.options.terminate = True


class OrtEngine:
    """One session; runs on the thread that calls it plus `intra_op_threads - 1` of its own."""

    def __init__(self, path: Path, layout: Layout, providers: Sequence[str], intra_op_threads: int) -> None:
        """Load a graph.

        Raises:
            EngineError: the graph does not load, or does not have the manifest's inputs and outputs.
            ProviderMissing: the session did not get the providers it was asked for.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = intra_op_threads
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.enable_mem_pattern = False  # plans are cached per shape; ours never repeat
        options.log_severity_level = _WARNING
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0"
        )  # the front end needs the core
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=list(providers), enable_fallback=0
            )
        except Exception as error:  # ORT raises a family of types of its own, without a common base
            raise EngineError(f"{path.name} does not load: {error}") from error
        used = self._session.get_providers()
        if [provider for provider in providers if provider not in used]:
            raise ProviderMissing(
                f"engine.providers: asked for {', '.join(providers)}, got {', '.join(used)}"
            )
        self.computes_here = list(providers) == ["CPUExecutionProvider"]
        self._outputs = list(layout.heads)
        self._heads = list(layout.heads.values())
        self._check(path.name, layout)

    def brake(self) -> OrtBrake:
        """A brake for one executor."""
        return OrtBrake()

    def run(self, batch: Batch, brake: Brake | None = None) -> Mapping[str, Scores]:
        """Score one batch; the interpreter is free for other threads meanwhile."""
        options = None
        if isinstance(brake, OrtBrake):
            options = brake.options
            options.terminate = False  # whatever was meant for an earlier run
        try:
            outputs = self._session.run(self._outputs, batch.feeds, options)
        except Exception as error:  # see above
            raise EngineError(f"run of {batch.rows} rows failed: {error}") from error
        return dict(zip(self._heads, outputs, strict=True))

    def _check(self, name: str, layout: Layout) -> None:
        wanted = layout.fed_names
        given = {entry.name for entry in self._session.get_inputs()}
        if wanted != given:
            odd = ", ".join(sorted(wanted ^ given))
            raise EngineError(f"{name}: the graph's inputs and the manifest's differ in {odd}")
        missing = set(self._outputs) - {entry.name for entry in self._session.get_outputs()}
        if missing:
            raise EngineError(f"{name}: the graph has no output {', '.join(sorted(missing))}")
