"""What is asked of the server in each part: a bundle, a budget, candidate counts."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.overload.sizes import BUDGET_MS, CANDIDATES
from loadtest.scenario.form import Candidates, Class, Slo, Values
from loadtest.scenario.form import Workload as Sent

BUILD: Final = Path("build/overload")
SPECS: Final = {
    "overload": "benchmarks.overload.model:spec",
    "movies": "examples.movies.spec:spec",
    "lambdarank": "examples.lambdarank.spec:spec",
}
BUILT: Final = {"movies": Path("build/demo/models"), "lambdarank": Path("build/lambdarank/models")}
"""Where the demo and the tests leave the real rankers; used when they are there, exported when not."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request under one budget.

    Attributes:
        models: folder of models that the server is started with.
        bundle: the version's folder.
        candidates: rewrites the request set's counts; None = as they are.
    """

    name: str
    model: str
    models: Path
    bundle: Path
    budget_ms: float
    candidates: Candidates | None = None

    @property
    def graph(self) -> Path:
        """Of the variant that is served."""
        variant: str = json.loads((self.bundle / "bundle.json").read_text())["default_variant"]
        return self.bundle / variant / "fused.onnx"

    @property
    def sets(self) -> list[str]:
        """The server's configuration."""
        return [f"models.{self.model}.budget_ms={self.budget_ms:g}", f'models.required=["{self.model}"]']

    @property
    def sent(self) -> Sent:
        """As the load test is told. Without labels: the ranking is no part of the proof."""
        return Sent(
            requests=str(self.bundle / "requests" / "eval.podium"),
            model=self.model,
            mix=(Class(candidates=self.candidates),),
        )

    @property
    def slo(self) -> Slo:
        """p99 of the admitted within budget, at 99 % confidence."""
        return Slo(budget_ms=self.budget_ms)


def overload(budget_ms: float = BUDGET_MS) -> Workload:
    """The proof's own model. Below 25 ms the requests shrink with the budget: at 10 ms a request of 700
    candidates cannot be answered by an idle server either.
    """
    bundle = built("overload")
    scale = min(budget_ms / BUDGET_MS, 1.0)
    counts = Values(values=tuple(round(count * scale) for count in CANDIDATES)) if scale < 1 else None
    name = "overload" if budget_ms == BUDGET_MS else f"overload, {budget_ms:g} ms"
    return Workload(name, "overload", bundle.parent.parent, bundle, budget_ms, counts)


def real(model: str) -> Workload:
    """`movies` or `lambdarank`, under its own budget.

    Both are asked for as many candidates as the proof's own model: with their data's counts a run costs no
    more than its message, and what is measured is the client.
    """
    bundle = built(model)
    budget_ms = float(json.loads((bundle / "bundle.json").read_text())["budget_ms"])
    return Workload(model, model, bundle.parent.parent, bundle, budget_ms, Values(values=CANDIDATES))


def built(model: str) -> Path:
    """The newest version's folder of a model's bundle, exported if there is none yet."""
    found = BUILT.get(model)
    models = found if found is not None and (found / model).is_dir() else BUILD / "models" / model
    if not (models / model).is_dir():
        command = [sys.executable, "-m", "export", SPECS[model], "--out", str(models)]
        subprocess.run(command, check=True)
    return max((models / model).iterdir(), key=lambda path: int(path.name))
