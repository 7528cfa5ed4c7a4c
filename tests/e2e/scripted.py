"""Servers whose engine is scripted: when its runs are slow, stuck or fail is the test's to say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.bundles.tiny import Example, Scores, TinyRanker
from tests.e2e.calls import Pending
from tests.e2e.running import RunningServer, Scrape, Start
from tests.e2e.streams import Asker

RANKER = TinyRanker(variants=("fp32",))
"""One variant: the fake engine's warm-up, at its scripted speed, is paid once."""
PATIENT = TinyRanker(name="patient", variants=("fp32",), budget_ms=60_000)
"""Nothing expires while a test looks on."""
STUCK_MS = 60_000
"""No test waits for the end of such a run: the server leaves it behind."""


def fake(start: Start, models: Path, *arguments: str, **script: str) -> RunningServer:
    """A server with the fake engine and this script."""
    settings = [f"--set=engine.fake.{key}={value}" for key, value in script.items()]
    return start(models, "--engine=fake", *settings, *arguments)


def stalled(start: Start, models: Path, stall_ms: int, *arguments: str) -> RunningServer:
    """A server whose first run takes so much longer."""
    return fake(start, models, *arguments, **{"stall_runs.0": f"{stall_ms}"})


def fake_scores(example: Example, ranker: TinyRanker = RANKER) -> Scores:
    """What the fake engine gives: the mean of each numeric column plus a hash of the item's row."""
    keys = ranker.item_keys.tolist()
    rows = np.array([keys.index(item) for item in example.items.tolist()], np.float32)
    hashed = (rows * np.float32(0.618034)) % np.float32(1.0)
    prior = np.full(len(rows), 0.5, np.float32) if example.prior is None else example.prior
    return hashed + example.features.mean(axis=1) + example.price + prior


def is_running(scrape: Scrape) -> bool:
    """One request is inside, and none of them waits: it is in its run."""
    return 1 == scrape.total("podium_in_flight") and 0 == scrape.total("podium_queue_depth")


def blocked(server: RunningServer, asker: Asker, ranker: TinyRanker = RANKER) -> Pending:
    """Occupy an executor with the first, stalled run."""
    first = asker.send(ranker.message(ranker.example(3)))
    server.wait_for(is_running)
    return first
