"""The fake engine: deterministic scores, scripted times and faults. It ships, because users need it too:
for load-generator floors, for rehearsing an overload, for tests without a model.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from server.domain import Scores
from server.engine.api import Batch, Brake, EngineError
from server.engine.layout import Layout


@dataclass(frozen=True, slots=True)
class Script:
    """How long runs take and which ones misbehave; runs are counted from 0, per engine.

    Attributes:
        overhead_s, row_s: time of a run = overhead_s + rows · row_s, slept with the interpreter free.
        fail_runs: these raise.
        stall_s: these take so much longer.
    """

    overhead_s: float = 0.0
    row_s: float = 0.0
    fail_runs: frozenset[int] = frozenset()
    stall_s: Mapping[int, float] = field(default_factory=dict)


class FakeBrake:
    """Ends a scripted sleep."""

    def __init__(self) -> None:
        self.pulled = threading.Event()

    def pull(self) -> None:
        """Wake whoever sleeps."""
        self.pulled.set()


class FakeEngine:
    """A candidate's score is the mean of its numeric features, or its id's row scaled into [0, 1)."""

    computes_here = False

    def __init__(self, layout: Layout, script: Script) -> None:
        self._layout = layout
        self._script = script
        self._runs: int | None = None

    def brake(self) -> FakeBrake:
        """A brake for one executor."""
        return FakeBrake()

    def run(self, batch: Batch, brake: Brake | None = None) -> Mapping[str, Scores]:
        """Score one batch as scripted."""
        pulled = brake.pulled if isinstance(brake, FakeBrake) else threading.Event()
        pulled.clear()
        script = self._script
        seconds = script.overhead_s + batch.rows * script.row_s
        if self._runs is None:
            _sleep(seconds, pulled)
        else:
            run, self._runs = self._runs, self._runs + 1
            _sleep(seconds + script.stall_s.get(run, 0.0), pulled)
            if run in script.fail_runs:
                raise EngineError(f"run {run} fails, as scripted")
        total = np.zeros(batch.rows, np.float32)
        for entry in self._layout.candidates:
            values = batch.feeds[entry.name].astype(np.float32)
            if entry.role == "candidate_id":
                values = (values * np.float32(0.618034)) % np.float32(1.0)
            total += values.reshape(batch.rows, -1).mean(axis=1)
        return dict.fromkeys(self._layout.heads.values(), total)

    def begin_script(self) -> None:
        """Count runs, and obey the script's faults, from here: warm-up is no part of it."""
        self._runs = 0


def _sleep(seconds: float, pulled: threading.Event) -> None:
    if seconds > 0 and pulled.wait(seconds):
        raise EngineError("the run was ended by force")
