"""An engine in groups of like length gives what the engine gives, row by row, and counts what it ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.manifest import Axis, Input, Manifest
from server.domain import Payload, Scores, TokensRun
from server.engine.api import Batch, Brake, EngineError
from server.engine.by_length import ByLength, scatter
from server.engine.layout import Layout
from server.engine.tensors import Packer
from tests.bundles.tiny import TINY

LONGEST = 12


def layout() -> Layout:
    """A context that is gathered, tokens and kinds along S, lengths of their own."""
    manifest: Manifest = TINY.manifest()
    manifest.axes["S"] = Axis(max=LONGEST, pad="right", lengths="tokens_length")
    manifest.inputs = [
        Input(name="user", role="context", dtype="float32", shape=["R"]),
        Input(name="tokens", role="candidate", dtype="int64", shape=["N", "S"]),
        Input(name="kinds", role="candidate", dtype="int64", shape=["N", "S"], pad_value=-1),
        Input(name="tokens_length", role="candidate", dtype="int64", shape=["N"]),
        Input(name="row_to_context", role="row_to_context", dtype="int64", shape=["N"]),
    ]
    return Layout.of(manifest)


class Summing:
    """Scores a candidate by its own tokens, its length and its context, and notes how wide it was run."""

    computes_here = False

    def __init__(self, missing: int = 0) -> None:
        self.widths: list[int] = []
        self._missing = missing

    def brake(self) -> Any:
        return None

    def run(self, batch: Batch, brake: Brake | None = None) -> Mapping[str, Scores]:
        feeds = batch.feeds
        assert feeds["tokens"].flags.c_contiguous
        assert feeds["tokens"].shape == feeds["kinds"].shape
        valid = np.arange(feeds["tokens"].shape[1]) < feeds["tokens_length"][:, None]
        assert valid[:, -1].any()  # as wide as the longest, and no wider
        assert (feeds["kinds"][valid] >= 0).all()
        self.widths.append(feeds["tokens"].shape[1])
        own = (feeds["tokens"] * valid).sum(1) + 1000 * feeds["user"][feeds["row_to_context"]]
        return {"score": own.astype(np.float32)[self._missing :]}


@st.composite
def payloads(draw: st.DrawFn) -> list[Payload]:
    """A few requests, each as wide as it likes, at least as its longest candidate."""
    made = []
    for user in range(draw(st.integers(1, 4))):
        lengths = np.array(draw(st.lists(st.integers(1, LONGEST), min_size=1, max_size=20)))
        width = draw(st.integers(int(lengths.max()), LONGEST))
        tokens = np.random.default_rng(user).integers(1, 99, (len(lengths), width))
        kinds = np.ones_like(tokens)
        behind = np.arange(width) >= lengths[:, None]
        tokens[behind], kinds[behind] = 0, -1
        context = (np.array(user, np.float32),)
        made.append(Payload(context, (tokens, kinds, lengths), len(lengths), lengths))
    return made


@given(requests=payloads(), call_tokens=st.floats(0, 100))
def test_scores_are_those_of_each_row(requests: list[Payload], call_tokens: float) -> None:
    """Whatever the grouping: the context's own, in the batch's order; and every token is counted once."""
    inner = Summing()
    engine = ByLength(inner, layout())
    engine.call_tokens = call_tokens
    got = engine.run(Packer(layout(), 8).pack(requests))["score"]
    wanted = [payload.candidates[0].sum(axis=1) + 1000 * float(payload.context[0]) for payload in requests]
    np.testing.assert_array_equal(np.concatenate(wanted).astype(np.float32), got)
    assert sum(payload.load for payload in requests) == engine.run_so_far.tokens
    assert engine.run_so_far.tokens <= engine.run_so_far.computed
    assert sorted(inner.widths) == inner.widths
    engine.begin_count()
    assert TokensRun() == engine.run_so_far


def test_an_engine_that_loses_rows_is_found() -> None:
    """Scores for fewer rows than were given fail the run; nothing is stretched over them."""
    lengths = np.array([2, 2, 2])
    tokens = np.ones((3, 2), np.int64)
    payload = Payload((np.array(0, np.float32),), (tokens, tokens, lengths), 3, lengths)
    with pytest.raises(EngineError, match="3 candidates got scores of shape"):
        ByLength(Summing(missing=1), layout()).run(Packer(layout(), 8).pack([payload]))


def test_scatter_puts_scores_where_their_rows_are() -> None:
    """The third score of the group goes to its third row."""
    heads: dict[str, Scores] = {}
    scatter(heads, {"score": np.array([1, 2, 3], np.float32)}, np.array([4, 0, 2]), 5)
    assert [2, 3, 1] == heads["score"][[0, 2, 4]].tolist()
