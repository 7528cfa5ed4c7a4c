"""The fake engine does what its script says, from the first run after warm-up."""

from __future__ import annotations

import numpy as np
import pytest

from server.domain import Payload
from server.engine.api import Batch, EngineError
from server.engine.fake import FakeEngine, Script
from server.engine.layout import Layout
from server.engine.tensors import Packer
from tests.bundles.tiny import TINY

LAYOUT = Layout.of(TINY.manifest())


def batch(rows: int, seed: int = 0) -> Batch:
    """One request of known columns."""
    rng = np.random.default_rng(seed)
    columns = (
        rng.integers(0, 40, rows),
        rng.random((rows, 3), np.float32),
        rng.random(rows, np.float32),
        rng.random(rows, np.float32),
    )
    return Packer(LAYOUT, 8).pack([Payload((np.zeros(2, np.int64),), columns, rows)])


def test_faults_are_counted_from_the_first_run_after_warm_up() -> None:
    """Warm-up runs never fail, however many there are; then run 1, and only run 1, does."""
    engine = FakeEngine(LAYOUT, Script(fail_runs=frozenset({1})))
    for _ in range(3):
        engine.run(batch(2))
    engine.begin_script()
    engine.run(batch(2))
    with pytest.raises(EngineError, match="run 1 fails, as scripted"):
        engine.run(batch(2))
    assert {"score"} == engine.run(batch(2)).keys()


def test_scores_depend_on_the_candidate_alone() -> None:
    """The same candidate scores the same in any batch, and different ones differ."""
    engine = FakeEngine(LAYOUT, Script())
    together = engine.run(batch(6))["score"]
    feeds = batch(6).feeds
    for row in range(6):
        alone = {
            name: array if name.startswith("history") else array[row : row + 1]
            for name, array in feeds.items()
        }
        assert together[row] == engine.run(Batch(alone, 1))["score"][0]
    assert 6 == len(set(together.tolist()))
