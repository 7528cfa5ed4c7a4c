"""Candidates in groups of like length against all padded to the longest: tokens per second on one core.

    python -m benchmarks.lengths

A cross-encoder of two layers of width 128, traced and rewritten, random weights, fp32, one thread. Runs of
one and of four requests are drawn from the counted lengths; both ways score the same runs in turns, processor
time, first rounds left out; the mean of the rounds' ratios with a 95 % bootstrap interval. Tokens are the
candidates' own: padding is no work done. The groups' time holds sorting, cutting, gathering and scattering.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.length_traffic import KINDS, Lengths, Traffic
from export.codec import Codec
from export.describe import inputs_of
from export.spec import ExampleRequest, ExportSpec, candidate, prior
from export.tracing import trace
from export.transformer.rewrite import rewrite
from measures.interval import bootstrap_mean
from server.domain import Payload, TokensRun
from server.engine.by_length import ByLength
from server.engine.layout import Layout, LengthAxis
from server.engine.ort import OrtEngine
from server.engine.tensors import Packer
from server.warm_up import call_tokens
from tests.export_specs import cross_encoder

LONGEST, RUNS, ROUNDS = 288, 12, 7
"""The histograms' longest pair has under 288 tokens; runs per round; rounds, the first of them to warm up."""
TOGETHER = (1, 4)
SHAPE = cross_encoder.Shape(width=128, length=LONGEST)
ONE_CALL = 1e12
"""A call that dear is made once: everything is padded to the longest."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One kind of traffic: seconds [ROUNDS - 1] each way, and what was run."""

    padded_s: NDArray[np.float64]
    grouped_s: NDArray[np.float64]
    padded: TokensRun
    grouped: TokensRun


def main() -> None:
    """Print a table."""
    engine, layout = _engine()
    rng = np.random.default_rng(0)
    engine.call_tokens = call = call_tokens(
        [_payload(np.full(16, 12), rng)], engine, Packer(layout, 512), 1.0
    )
    out = sys.stdout
    out.write(f"a call costs {call:.0f} tokens\n")
    for kind in KINDS:
        for together in TOGETHER:
            traffic = Traffic(kind, seed=1)
            runs = [[_payload(traffic.request(), rng) for _ in range(together)] for _ in range(RUNS)]
            found = _measure(engine, layout, runs, call)
            ratio = bootstrap_mean(found.padded_s / found.grouped_s)
            tokens = found.grouped.tokens / (ROUNDS - 1)
            out.write(f"{kind:<27}x{together}  {_way('padded', tokens, found.padded_s, found.padded)}; ")
            out.write(f"{_way('grouped', tokens, found.grouped_s, found.grouped)}; ")
            out.write(f"{ratio.mean:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]  ({traffic.source})\n")


def _measure(engine: ByLength, layout: Layout, runs: list[list[Payload]], call: float) -> Measured:
    packer = Packer(layout, 512)
    seconds: dict[float, list[float]] = {ONE_CALL: [], call: []}
    counted = dict.fromkeys(seconds, TokensRun())
    for at in range(ROUNDS):
        for price, taken in seconds.items():
            engine.call_tokens = price
            engine.begin_count()
            start = time.thread_time()
            for run in runs:
                engine.run(packer.pack(run))
            if at:
                taken.append(time.thread_time() - start)
                before, new = counted[price], engine.run_so_far
                counted[price] = TokensRun(before.tokens + new.tokens, before.computed + new.computed)
    padded, grouped = (np.array(seconds[price]) for price in (ONE_CALL, call))
    return Measured(padded, grouped, counted[ONE_CALL], counted[call])


def _engine() -> tuple[ByLength, Layout]:
    ranker = cross_encoder.model(SHAPE)
    spec = ExportSpec(
        name="lengths",
        context=ranker.context,
        score=ranker.score,
        inputs=[
            candidate("tokens", "int64", "S"),
            candidate("tokens_length", "int64"),
            prior("prior", when_absent=0.0),
        ],
        axes={"S": LONGEST},
        lengths={"S": "tokens_length"},
        requests=[_example()],
        calibration=[_example()],
    )
    codec = Codec(spec)
    encoded = codec.encode(spec.requests[0])
    traced = trace(spec, codec, encoded)
    rewritten = rewrite(traced, codec.feeds([encoded]))
    candidates = tuple(inputs_of(spec))
    names = frozenset(entry.name for entry in candidates if entry.role == "candidate")
    axis = LengthAxis("S", LONGEST, source=1, pad_value=0, columns=(0,))
    layout = Layout((), {}, candidates, None, {"S": LONGEST}, axis, {"score": "score"}, frozenset(), names)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lengths.onnx"
        onnx.save(traced if rewritten is None else rewritten.model, path)
        return ByLength(OrtEngine(path, layout, ["CPUExecutionProvider"], 1), layout), layout


def _example() -> ExampleRequest:
    payload = _payload(np.array([12, 40, 7, 25]), np.random.default_rng(0))
    tokens, lengths, scores = payload.candidates
    return ExampleRequest(
        context={}, candidates={"tokens": tokens, "tokens_length": lengths}, prior_scores=scores
    )


def _payload(lengths: Lengths, rng: np.random.Generator) -> Payload:
    lengths = np.minimum(lengths, LONGEST)
    tokens = rng.integers(1, SHAPE.words, (len(lengths), int(lengths.max())))
    tokens[np.arange(tokens.shape[1]) >= lengths[:, None]] = 0
    columns = (tokens, lengths, np.zeros(len(lengths), np.float32))
    return Payload((), columns, len(lengths), lengths)


def _way(name: str, tokens: float, seconds: NDArray[np.float64], run: TokensRun) -> str:
    rate = tokens / float(np.median(seconds)) / 1e3
    return f"{name} {rate:.0f}k tokens/s, waste {1 - run.tokens / run.computed:.1%}"


if __name__ == "__main__":
    main()
