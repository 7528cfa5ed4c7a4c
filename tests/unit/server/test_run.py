"""One run: packed, scored, split. A grid's run is as many batches as its requests' sizes need."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from protos import manifest as m
from server.core.decisions import Dispatch, Lane, Part, Ticket
from server.domain import Payload, Scored, Scores
from server.engine.api import Batch, Brake
from server.engine.fake import FakeEngine, Script
from server.engine.layout import Layout
from server.engine.tensors import Packer
from server.run import LaneRuntime, run
from server.waiter import Waiter
from tests.bundles.tiny import TINY

LANE = Lane("m", 1, "fp32")
COUNTS = (5, 500, 2, 90, 480, 1)


class Noted(FakeEngine):
    """A fake engine that remembers how many candidates its batches had."""

    def __init__(self, layout: Layout, script: Script) -> None:
        super().__init__(layout, script)
        self.batches: list[int] = []

    def run(self, batch: Batch, brake: Brake | None = None) -> Mapping[str, Scores]:
        """Score and remember."""
        self.batches.append(batch.rows)
        return super().run(batch, brake)


def layout_of(kind: str) -> Layout:
    manifest = TINY.manifest()
    manifest.inputs = [
        m.Input(name="features", role="candidate", dtype="float32", shape=["N"]),
    ]
    if kind == "grid":
        manifest.scoring.layout = "grid"
        manifest.axes["C"] = m.Axis(max=1_000)
        manifest.inputs += [
            m.Input(name="at", role="grid_index", dtype="int64", shape=["R", "C"]),
            m.Input(name="place", role="grid_position", dtype="int64", shape=["N"]),
        ]
    return Layout.of(manifest)


def waiters() -> list[Waiter]:
    """Requests of COUNTS candidates; no two candidates have the same feature."""
    first = np.cumsum((0, *COUNTS))
    return [
        Waiter(
            Ticket(at, LANE, count, 0, 10**18),
            Payload((), (np.arange(first[at], first[at + 1], dtype=np.float32),), count),
            lambda _: None,
        )
        for at, count in enumerate(COUNTS)
    ]


@pytest.mark.parametrize(("kind", "batches"), [("flat", [1078]), ("grid", [980, 90, 8])])
@pytest.mark.parametrize("broken", [frozenset(), frozenset({0})])
def test_every_request_gets_its_own_scores(kind: str, batches: list[int], broken: frozenset[int]) -> None:
    """Whatever batches the run is made of, and where one fails and all are scored one by one."""
    layout = layout_of(kind)
    engine = Noted(layout, Script(fail_runs=broken))
    engine.begin_script()
    runtime = LaneRuntime(engine, [Packer(layout, 64)], [engine.brake()])
    waiting = waiters()
    parts = tuple(Part(one.ticket, 0, one.payload.rows, one.payload.rows) for one in waiting)
    result = run(Dispatch(0, LANE, parts, sum(COUNTS), 0, 0), runtime, waiting)
    assert broken == ({0} if result.error else set())
    assert engine.batches == ([batches[0], *COUNTS] if broken else batches)
    for one, outcome in zip(waiting, result.outcomes, strict=True):
        assert isinstance(outcome, Scored)
        np.testing.assert_array_equal(one.payload.candidates[0], outcome.heads["score"])
        assert (sum(COUNTS) if not broken else one.payload.rows) == outcome.stamps.rows
        stamps = outcome.stamps
        assert stamps.started_ns <= stamps.formed_ns <= stamps.ran_ns
