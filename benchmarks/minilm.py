"""A cross-encoder of MiniLM-L6's shape: int8 against fp32 as traced and against fp32 rewritten.

    python -m benchmarks.minilm

100 pairs of 32 tokens, one thread, the same tokens for all, processor time, blocks in turns; the mean of the
blocks' ratios with a 95 % bootstrap interval. Weights are random: what they are changes no kernel's time, and
says nothing about accuracy. Both ratios belong together: the first credits int8 with what the rewriting did.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

import numpy as np
import onnx
import torch

from export.codec import Codec
from export.quantize import to_int8
from export.runtime import Runner
from export.sites import find_sites
from export.spec import Array, ExampleRequest, ExportSpec, candidate, prior
from export.tracing import trace
from export.transformer.quantization import prepare
from export.transformer.rewrite import rewrite
from measures.interval import bootstrap_mean
from tests.export_specs import cross_encoder

PAIRS, TOKENS, BLOCKS = 100, 32, 9
MINILM = cross_encoder.Shape(width=384, heads=12, layers=6, length=TOKENS, words=30_522)


def main() -> None:
    """Print a table."""
    torch.manual_seed(0)
    spec = _spec()
    codec = Codec(spec)
    requests = [codec.encode(request) for request in spec.requests]
    traced = trace(spec, codec, requests[0])
    feeds = codec.feeds(requests[:1])
    rewritten = rewrite(traced, feeds)
    if rewritten is None:
        raise SystemExit("the graph was not rewritten")
    ready = prepare(rewritten.model, codec, requests)
    sites = [site for site in find_sites(ready.model) if site.name in ready.quantizations]
    int8 = to_int8(ready.model, sites, ready.quantizations)
    times = _times({"traced": traced, "rewritten": rewritten.model, "int8": int8}, feeds)
    for name, column in times.items():
        sys.stdout.write(f"{name:<28}{np.median(column) * 1e3:8.1f} ms\n")
    for name, over, under in (
        ("int8 / fp32 as traced", "traced", "int8"),
        ("int8 / fp32 rewritten", "rewritten", "int8"),
        ("fp32 rewritten / as traced", "traced", "rewritten"),
    ):
        found = bootstrap_mean(times[over] / times[under])
        sys.stdout.write(f"{name:<28}{found.mean:8.2f}x  [{found.low:.2f}, {found.high:.2f}]\n")


def _times(models: Mapping[str, onnx.ModelProto], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Processor seconds of a run, [BLOCKS] per model, taken in turns."""
    runners = {name: Runner(model) for name, model in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for block in range(BLOCKS + 1):
        for name, runner in runners.items():
            start = time.thread_time()
            runner.run(feeds)
            if block:  # the first warms up
                seconds[name].append(time.thread_time() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def _spec() -> ExportSpec:
    model = cross_encoder.model(MINILM)
    rng = np.random.default_rng(0)
    requests = [
        ExampleRequest(
            context={},
            candidates={
                "tokens": rng.integers(1, MINILM.words, size=(PAIRS, TOKENS)),
                "tokens_length": np.full(PAIRS, TOKENS),
            },
            prior_scores=rng.normal(size=PAIRS).astype(np.float32),
        )
        for _ in range(4)
    ]
    return ExportSpec(
        name="minilm",
        context=model.context,
        score=model.score,
        inputs=[
            candidate("tokens", "int64", TOKENS),
            candidate("tokens_length", "int64"),
            prior("prior", when_absent=0.0),
        ],
        requests=requests[:1],
        calibration=requests[1:],
    )


if __name__ == "__main__":
    main()
