"""A real module of a user's, exported by the command: what is wrong is said with the line in their file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from export.cli import main

MODULE = """
import numpy as np
import torch
from torch import nn

from export.spec import ExampleRequest, ExportSpec, candidate


class Ranker(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)
        self.bag = nn.EmbeddingBag(10, 4)

    def context(self):
        return {}

    def score(self, state, features):
BODY


def requests(count, columns=3, labelled=True):
    rng = np.random.default_rng(0)
    return [
        ExampleRequest(
            context={},
            candidates={"features": rng.normal(size=(4, columns)).astype(np.float32)},
            labels=np.ones(4, np.float32) if labelled else None,
        )
        for _ in range(count)
    ]


def spec():
    model = Ranker()
    return ExportSpec(
        name="mine",
        context=model.context,
        score=model.score,
        inputs=[candidate("features", "float32", 3)],
        requests=REQUESTS,
        calibration=CALIBRATION,
    )
"""
FINE = "return {'score': self.linear(features).squeeze(-1)}"
BODIES: dict[str, tuple[list[str], list[str]]] = {
    "a loop over candidates": (
        [
            "rows = []",
            "for at in range(features.shape[0]):  # here",
            "    rows.append(self.linear(features[at]))",
            "return {'score': torch.cat(rows)}",
        ],
        ["(axis 0 of input 'features')", "operators go over all candidates at once in place of a loop"],
    ),
    "candidates one by one": (
        ["return {'score': torch.stack([self.linear(row)[0] for row in features])}  # here"],
        ["(axis 0 of input 'features')", "in place of a loop"],
    ),
    "a bag": (
        ["ids = (features * 2).long().clamp(0, 9)", "return {'score': self.bag(ids).sum(1)}  # here"],
        ["nn.EmbeddingBag becomes a loop over bags", "use nn.Embedding on ids padded to one length"],
    ),
    "no ONNX form": (
        ["return {'score': torch.special.bessel_j0(features).sum(1)}  # here"],
        ["an operator has no ONNX form (prims.bessel_j0)", "write it with operators that have one"],
    ),
    "a shape of values": (
        [
            "kept = features[features[:, 0] > 0]",
            "if kept.shape[0] > 2:  # here",
            "    return {'score': features.sum(1)}",
            FINE,
        ],
        ["a branch or a shape depends on values", "torch.where or a mask"],
    ),
    "a number of a value": (
        ["return {'score': self.linear(features)[:, 0] * (2 if features.max() > 1 else 1)}  # here"],
        ["a branch or a shape depends on values", ".item()"],
    ),
    "distinct values": (
        [
            "ids, counts = torch.unique(features[:, 0], return_counts=True)",
            "if counts.max() > 1:  # here",
            "    return {'score': features.sum(1)}",
            FINE,
        ],
        ["a branch or a shape depends on values", "nonzero and unique"],
    ),
    "a fault of their own": (
        ["return {'score': self.linear(features[:, :2]).squeeze(-1)}  # here"],
        ["the model fails in PyTorch, before any tracing", "mat1 and mat2 shapes cannot be multiplied"],
    ),
    "a size of one's own": (
        ["return {'score': self.linear(features).squeeze(-1) * torch.ones(7)}  # here"],
        ["the model fails in PyTorch", "must match the size of tensor b (7)"],
    ),
}
NUMBER = itertools.count()


def save(
    folder: Path,
    body: Sequence[str] = (FINE,),
    requests: str = "requests(20)",
    calibration: str = "requests(3)",
) -> tuple[str, int | None]:
    """Write the module under a name of its own; its name, and the line that ends in `# here`."""
    indented = "\n".join(f"        {line}" for line in body)
    code = MODULE.replace("BODY", indented).replace("REQUESTS", requests).replace("CALIBRATION", calibration)
    name = f"users_ranker_{next(NUMBER)}"
    (folder / f"{name}.py").write_text(code)
    lines = [at for at, line in enumerate(code.split("\n"), 1) if line.endswith("# here")]
    return name, lines[0] if lines else None


def said_by(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([f"{name}:spec", "--out", str(folder / "models")]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "Traceback" not in said
    assert not (folder / "models").exists()
    return said


@pytest.mark.parametrize("case", BODIES)
def test_the_sentence_names_file_and_line_of_the_users_code(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it is, their file and line with its code, what to do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    body, parts = BODIES[case]
    name, line = save(tmp_path, body)

    said = said_by(name, tmp_path, capsys)

    assert f"{name}.py:{line} `" in said
    assert [] == [part for part in parts if part not in said]


@pytest.mark.parametrize(
    ("lists", "parts"),
    [
        (
            {"requests": "requests(20, labelled=False)"},
            ["ExportSpec.requests: none of the 20 requests has labels", "set ExampleRequest.labels"],
        ),
        (
            {"calibration": "[*requests(2), *requests(1, columns=5)]"},
            [
                "ExportSpec.calibration[2]: input 'features'",
                "shape (4, 5), the spec says (N, 3)",
                "change one",
            ],
        ),
        (
            {"requests": "[*requests(4), *requests(1, columns=2)]"},
            ["ExportSpec.requests[4]: input 'features'", "shape (4, 2), the spec says (N, 3)"],
        ),
    ],
)
def test_data_that_does_not_fit_is_named_by_its_place(
    lists: dict[str, str],
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Which list of the spec, which entry, what it has and should have; before any tracing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    name, _ = save(tmp_path, **lists)

    said = said_by(name, tmp_path, capsys)

    assert [] == [part for part in parts if part not in said]
