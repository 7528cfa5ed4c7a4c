"""Attention in the grid layout is found as well: over a history, and among the candidates of a request."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.history.model import HistoryRanker
from examples.hstu.model import GenerativeRanker
from examples.setwise.model import SetRanker
from export.codec import Codec
from export.runtime import Runner
from export.spec import Array, ExampleRequest, ExportSpec, candidate, context, prior
from export.tracing import trace
from export.transformer.rewrite import rewrite
from tests.unit.export.transformer.cases import ANY_SPEED, error

ITEMS, LENGTH = 40, 12
Ranker = HistoryRanker | SetRanker | GenerativeRanker


def requests(counts: tuple[int, ...]) -> list[ExampleRequest]:
    """Requests of so many candidates, histories of any length."""
    rng = np.random.default_rng(len(counts))
    return [
        ExampleRequest(
            context={"history": rng.integers(1, ITEMS, rng.integers(0, LENGTH + 1))},
            candidates={
                "movie": rng.integers(1, ITEMS, count),
                "features": rng.normal(size=(count, 3)).astype(np.float32),
            },
            prior_scores=rng.random(count, dtype=np.float32),
        )
        for count in counts
    ]


def spec(ranker: Ranker) -> ExportSpec:
    ranker.eval().requires_grad_(False)
    return ExportSpec(
        name="grid",
        context=ranker.context,
        score=ranker.score,
        layout="grid",
        inputs=[
            context("history", "int64", "L", length="history_length"),
            candidate("movie", "int64"),
            candidate("features", "float32", 3),
            prior("prior", when_absent=0.0),
        ],
        heads={"watch": 1.0},
        axes={"L": LENGTH},
        requests=requests((3,)),
        calibration=requests((3,)),
    )


def feeds(codec: Codec, counts: tuple[int, ...]) -> dict[str, Array]:
    return codec.feeds([codec.encode(request) for request in requests(counts)])


@pytest.mark.parametrize(("make", "layers"), [(HistoryRanker, 1), (SetRanker, 2)])
def test_attention_in_a_grid_is_one_operator(make: type[Ranker], layers: int) -> None:
    """The scores stay, in grids of any size and with empty slots."""
    torch.manual_seed(0)
    made = spec(make(ITEMS, width=32, heads=4))
    codec = Codec(made)
    traced = trace(made, codec, codec.encode(made.requests[0]))
    rewritten = rewrite(traced, feeds(codec, (8,) * 4), slowdown_max=ANY_SPEED)
    assert rewritten is not None
    ops = [node.op_type for node in rewritten.model.graph.node]
    assert (layers, layers, 0) == (rewritten.attentions, ops.count("Attention"), ops.count("Softmax"))
    before, after = Runner(traced), Runner(rewritten.model)
    for counts in ((1,), (7,), (2, 9, 1), (5,) * 6):
        given = feeds(codec, counts)
        assert error(after.run(given)["watch"], before.run(given)["watch"]) < 1e-5


def test_attention_without_a_softmax_is_left() -> None:
    """HSTU's is a plain sum."""
    torch.manual_seed(0)
    made = spec(GenerativeRanker(ITEMS, width=32, heads=4))
    codec = Codec(made)
    traced = trace(made, codec, codec.encode(made.requests[0]))
    assert rewrite(traced, feeds(codec, (8,) * 4), slowdown_max=ANY_SPEED) is None
