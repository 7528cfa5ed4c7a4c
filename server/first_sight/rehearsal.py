"""All that a load will do with a bundle's files, done once where a crash or a flood harms nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from server.config import Config
from server.domain import RankingRequest
from server.engine.api import EngineError, ProviderMissing
from server.engine.bundle import BadBundle, Bundle, open_bundle
from server.engine.tensors import Packer
from server.first_sight.graph import BadGraph, check
from server.first_sight.texts import line
from server.golden import decode_golden
from server.warm_up import run_largest
from server.wire import Decoder

CPU = ["CPUExecutionProvider"]

NO_MEMORY = "needs more memory than its files justify (model_files.memory_mib_extra); export it again"
_OUT_OF_MEMORY = ("Failed to allocate memory", "bad_alloc", "bad allocation")
"""As ONNX Runtime and C++ say it."""

Stage = Callable[[str], None]
"""Told the file that is looked at next, so that a crash has a name."""


def rehearse(path: Path, config: Config, stage: Stage) -> dict[str, str]:
    """Open a bundle, check its graphs, load them, run the golden requests and the largest warm-up run.

    Where the server computes on another provider, graphs are checked but not run: a child has no device.

    Returns:
        variant -> the sentence that refuses it; {} = all are sound.

    Raises:
        BadBundle: no variant of it can be served. One sentence.
    """
    stage("bundle.json")
    bundle = open_bundle(path)
    manifest = bundle.manifest
    stage(manifest.golden.messages)
    candidates_max = min(manifest.axes["N"].max, config.limits.candidates_max)
    decoder = Decoder(bundle.layout, bundle.vocabs, config.limits, candidates_max, manifest.combine.weights)
    golden = decode_golden(bundle, decoder)
    runs = config.engine.kind == "ort" and config.engine.providers == CPU
    refused: dict[str, str] = {}
    for variant in manifest.variants:
        graph = ""
        try:
            graph = str(bundle.graph(variant).relative_to(path))
            stage(graph)
            check(path, graph, manifest, config.model_files)
            if runs:
                _run(bundle, variant, golden, config)
        except (BadBundle, BadGraph) as error:
            refused[variant] = line(error)
        except (EngineError, ProviderMissing) as error:
            refused[variant] = _sentence(path, graph, str(error))
    return refused


def _sentence(path: Path, graph: str, text: str) -> str:
    if any(words in text for words in _OUT_OF_MEMORY):
        return f"{graph} {NO_MEMORY}"
    text = line(Exception(text)).replace(f"{path}/", "").removeprefix(Path(graph).name).lstrip()
    return f"{graph} {text}; export it again"


def _run(bundle: Bundle, variant: str, golden: list[RankingRequest], config: Config) -> None:
    from server.engine.ort import OrtEngine

    engine = OrtEngine(bundle.graph(variant), bundle.layout, CPU, 1)
    packer = Packer(bundle.layout, config.batch.rows_max)
    payloads = [request.payload for request in golden]
    for payload in payloads:
        engine.run(packer.pack([payload]))
    run_largest(payloads, engine, packer)
