"""The history ranker's context once, against the same module with its context tiled per candidate.

    python -m benchmarks.history

`examples.history`, 50 steps of history, one request, one thread, processor time, forms in turns, block by
block; the mean of the blocks' ratios with a 95 % bootstrap interval. Every form is traced from the same
weights and gives the same scores:

- grid: keys and values once per request, attention over [R, C] (what is exported);
- gathered: keys and values once per request, then copied to every candidate;
- tiled: the whole module once per candidate, which is what a ranker without a context has to do.

Each is rewritten as an export would, where that makes it faster. Weights are random: what they are changes no
kernel's time. int8: the same products are quantised in each form.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from examples.history.model import HistoryRanker
from examples.movies.features import COLUMNS
from examples.movies.histories import HISTORY_MAX
from export.calibrate import calibrate
from export.codec import Codec
from export.grid import Grid
from export.quantize import to_int8
from export.runtime import Runner
from export.sites import find_sites
from export.spec import Array, ExampleRequest, ExportSpec, candidate, context, prior
from export.tracing import trace
from export.transformer.rewrite import rewrite
from measures.interval import bootstrap_mean

CANDIDATES = (20, 100, 200, 500)
ITEMS = 4_000
BLOCKS = 21
BLOCK_S = 0.02
ERROR_MAX = {"fp32": 1e-4, "int8": 0.5}
"""Of a score: forms add in different orders, and in int8 a difference may tip a rounding."""


def main() -> None:
    """Print a table per precision."""
    torch.manual_seed(0)
    model = HistoryRanker(ITEMS).eval().requires_grad_(False)
    fp32 = {name: Form(spec) for name, spec in forms(model).items()}
    int8 = {name: form.quantized() for name, form in fp32.items()}
    for precision, some in (("fp32", fp32), ("int8", int8)):
        sys.stdout.write(
            f"{precision:<6}{'candidates':>10}{'grid':>10}{'gathered':>10}{'tiled':>10}"
            f"{'tiled / grid':>24}{'gathered / grid':>24}\n"
        )
        for count in CANDIDATES:
            _report(precision, some, count)


class Form:
    """One way to serve the module.

    Attributes:
        requests: encoded, for calibration and for the runs.
    """

    def __init__(self, spec: ExportSpec, graph: onnx.ModelProto | None = None) -> None:
        self._spec = spec
        self._codec = Codec(spec)
        self._requests = [self._codec.encode(request) for request in spec.requests]
        self._graph = self._best() if graph is None else graph
        self._runner = Runner(self._graph)

    def _best(self) -> onnx.ModelProto:
        """The graph as an export would have it: rewritten, where that helps."""
        traced = trace(self._spec, self._codec, self._requests[0])
        rewritten = rewrite(traced, self.feeds(CANDIDATES[0]))
        return traced if rewritten is None else rewritten.model

    def quantized(self) -> Form:
        """The same in int8."""
        sites = [site for site in find_sites(self._graph) if site.pays]
        ranges = calibrate(self._graph, sites, self._codec, self._requests)
        return Form(self._spec, to_int8(self._graph, sites, ranges))

    def feeds(self, count: int) -> dict[str, Array]:
        """Of the first request, with so many candidates."""
        request = self._requests[0]
        return self._codec.feeds([request.take(np.arange(count) % request.count)])

    def run(self, feeds: Mapping[str, Array]) -> Array:
        """Scores [N]."""
        return self._runner.run(feeds)["watch"]


def forms(model: HistoryRanker) -> dict[str, ExportSpec]:
    """The three specs."""

    def gathered(state: dict[str, Tensor], **candidates: Tensor) -> dict[str, Tensor]:
        return model.score(state, _each_alone(candidates["movie"]), **candidates)

    def tiled(_: Any, history: Tensor, history_length: Tensor, **candidates: Tensor) -> dict[str, Tensor]:
        return gathered(model.context(history, history_length), **candidates)

    own = [
        candidate("movie", "int64"),
        candidate("features", "float32", len(COLUMNS)),
        prior("prior", when_absent=0.0),
    ]
    grid = ExportSpec(
        name="history",
        context=model.context,
        score=model.score,
        layout="grid",
        inputs=[context("history", "int64", "L", length="history_length"), *own],
        heads={"watch": 1.0},
        axes={"L": HISTORY_MAX},
        requests=_requests(),
        calibration=_requests(),
    )
    asked = [candidate("history", "int64", HISTORY_MAX), candidate("history_length", "int64"), *own]
    return {
        "grid": grid,
        "gathered": replace(grid, layout="flat", score=gathered),
        "tiled": replace(
            grid,
            layout="flat",
            context=dict,
            score=tiled,
            inputs=asked,
            axes={},
            requests=[_tiled(one) for one in grid.requests],
        ),
    }


def _each_alone(movie: Tensor) -> Grid:
    """A grid in which every candidate has a row of its own."""
    at = torch.arange(movie.shape[0])
    return Grid(at[:, None], at, at)


def _requests() -> list[ExampleRequest]:
    rng = np.random.default_rng(0)
    count = max(CANDIDATES)
    return [
        ExampleRequest(
            context={"history": rng.integers(1, ITEMS, HISTORY_MAX)},
            candidates={
                "movie": rng.integers(1, ITEMS, count),
                "features": rng.normal(size=(count, len(COLUMNS))).astype(np.float32),
            },
            prior_scores=rng.random(count, dtype=np.float32),
        )
        for _ in range(4)
    ]


def _tiled(request: ExampleRequest) -> ExampleRequest:
    history = np.repeat(request.context["history"][None], request.count, axis=0)
    length = np.full(request.count, HISTORY_MAX)
    return replace(
        request, context={}, candidates={"history": history, "history_length": length, **request.candidates}
    )


def _report(precision: str, some: Mapping[str, Form], count: int) -> None:
    feeds = {name: form.feeds(count) for name, form in some.items()}
    scores = {name: form.run(feeds[name]) for name, form in some.items()}
    error = max(float(np.abs(found - scores["grid"]).max()) for found in scores.values())
    if error > ERROR_MAX[precision]:
        raise SystemExit(f"{precision}: the forms differ by {error:.2g}; they are not the same ranker")
    times = _times(some, feeds)
    row = f"{'':<6}{count:>10}" + "".join(f"{np.median(times[name]) * 1e6:>7.0f} us" for name in some)
    for name in ("tiled", "gathered"):
        found = bootstrap_mean(times[name] / times["grid"])
        row += f"{found.mean:>9.2f}x [{found.low:.2f}, {found.high:.2f}]"
    sys.stdout.write(row + "\n")


def _times(some: Mapping[str, Form], feeds: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
    """Processor seconds of a run, [BLOCKS] per form, taken in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in some}
    for block in range(BLOCKS + 1):
        for name, form in some.items():
            runs, start = 0, time.thread_time()
            while runs == 0 or time.thread_time() - start < BLOCK_S:
                form.run(feeds[name])
                runs += 1
            if block:  # the first warms up
                seconds[name].append((time.thread_time() - start) / runs)
    return {name: np.array(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
