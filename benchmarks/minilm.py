"""MiniLM-L6 as a cross-encoder: int8 against fp32 as traced and against fp32 rewritten.

    python -m benchmarks.minilm

100 pairs of 32 tokens, one thread, the same tokens for all, processor time, blocks in turns; the mean of the
blocks' ratios with a 95 % bootstrap interval. Both ratios belong together: the first credits int8 with what
the rewriting did. Weights are the fine-tuned ones where their package is installed (examples/minilm); then
int8's error and its drift with the batch are measured on the test queries, too. Else they are random, which
changes no kernel's time and says nothing about accuracy.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch

from examples.minilm.spec import spec as fine_tuned
from examples.minilm.weights import NotInstalled
from export.codec import Codec, Encoded
from export.quantize import to_int8
from export.runtime import Runner
from export.sites import find_sites
from export.spec import Array, ExampleRequest, ExportSpec, candidate, prior
from export.tracing import trace
from export.transformer.quantization import prepare
from export.transformer.rewrite import rewrite
from measures.interval import bootstrap_mean, paired_relative_delta
from measures.ndcg import ndcg
from measures.order import rank_order
from tests.export_specs import cross_encoder

PAIRS, TOKENS, BLOCKS = 100, 32, 9
MINILM = cross_encoder.Shape(width=384, heads=12, layers=6, length=TOKENS, words=30_522)


def main() -> None:
    """Print a table."""
    torch.manual_seed(0)
    try:
        spec, weights = fine_tuned(), "fine-tuned"
    except NotInstalled as missing:
        spec, weights = _random(), f"random ({missing})"
    codec = Codec(spec)
    requests = [codec.encode(request) for request in spec.requests]
    ranges = [codec.encode(request) for request in spec.calibration]
    traced = trace(spec, codec, requests[0])
    rewritten = rewrite(traced, codec.feeds(requests[:1]))
    if rewritten is None:
        raise SystemExit("the graph was not rewritten")
    ready = prepare(rewritten.model, codec, ranges)
    sites = [site for site in find_sites(ready.model) if site.name in ready.quantizations]
    int8 = to_int8(ready.model, sites, ready.quantizations)
    models = {"traced": traced, "rewritten": rewritten.model, "int8": int8}
    times = _times(models, _full(codec.feeds(requests[:1])))
    sys.stdout.write(f"weights: {weights}\n")
    for name, column in times.items():
        sys.stdout.write(f"{name:<28}{np.median(column) * 1e3:8.1f} ms\n")
    for name, over, under in (
        ("int8 / fp32 as traced", "traced", "int8"),
        ("int8 / fp32 rewritten", "rewritten", "int8"),
        ("fp32 rewritten / as traced", "traced", "rewritten"),
    ):
        found = bootstrap_mean(times[over] / times[under])
        sys.stdout.write(f"{name:<28}{found.mean:8.2f}x  [{found.low:.2f}, {found.high:.2f}]\n")
    if weights == "fine-tuned":
        _accuracy(spec, codec, requests, Runner(rewritten.model), Runner(int8))


def _full(feeds: Mapping[str, Array]) -> dict[str, Array]:
    """A request's pairs as PAIRS rows of TOKENS tokens, none of them padding."""
    made = {name: np.resize(values, (PAIRS, *values.shape[1:])) for name, values in feeds.items()}
    for name in ("tokens", "sides"):
        if name in made:
            made[name] = np.pad(made[name], [(0, 0), (0, TOKENS - made[name].shape[1])])
    made["tokens"] = np.where(made["tokens"] > 0, made["tokens"], 1)
    made["tokens_length"] = np.full(PAIRS, TOKENS)
    return made


def _accuracy(
    spec: ExportSpec, codec: Codec, requests: Sequence[Encoded], fp32: Runner, int8: Runner
) -> None:
    """Error of int8 as a share of the scores' spread, over all pairs; drift; nDCG@10 where there is one."""
    head = next(iter(fp32.run(codec.feeds(requests[:1]))))
    exact = [fp32.run(codec.feeds([request]))[head] for request in requests]
    got = [int8.run(codec.feeds([request]))[head] for request in requests]
    wanted, found = np.concatenate(exact), np.concatenate(got)
    error = float(np.sqrt(np.mean((found - wanted) ** 2)) / wanted.std())
    together = np.concatenate(
        [int8.run(codec.feeds(requests[at : at + 7]))[head] for at in range(0, len(requests), 7)]
    )
    drift = float(np.abs(together - found).max())
    sys.stdout.write(f"int8 error, of the scores' std    {error:.4f} ({len(wanted):,} pairs)\n")
    sys.stdout.write(f"int8 drift with the batch         {drift:.2g}\n")
    values = np.array(
        [
            [ndcg(one.labels, rank_order(scores), 10) for scores in pair]
            for one, *pair in zip(spec.requests, exact, got, strict=True)
            if one.labels is not None
        ]
    )
    values = values[~np.isnan(values).any(axis=1)]
    change = paired_relative_delta(values[:, 1], values[:, 0])
    sys.stdout.write(
        f"nDCG@10                           {values[:, 0].mean():.4f} fp32, {values[:, 1].mean():.4f} int8, "
        f"{change.mean:+.2%} [{change.low:+.2%}, {change.high:+.2%}], n = {len(values)}\n"
    )


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


def _random() -> ExportSpec:
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
            candidate("tokens", "int64", "S"),
            candidate("tokens_length", "int64"),
            prior("prior", when_absent=0.0),
        ],
        axes={"S": TOKENS},
        lengths={"S": "tokens_length"},
        requests=requests[:1],
        calibration=requests[1:],
    )


if __name__ == "__main__":
    main()
