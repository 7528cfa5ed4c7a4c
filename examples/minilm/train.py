"""Fine-tunes MiniLM-L6 as a cross-encoder on the training queries of fold 0, listwise; minutes on two cores.

    python -m examples.minilm.train

The weights go to CHECKPOINT, so that an export need not train again. Rule: only training queries are read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from examples.entities.data import load
from examples.lambdarank.train import listwise_loss
from examples.minilm.model import HEAD, MiniLm
from examples.minilm.pairs import Pairs, all_pairs
from examples.minilm.weights import Published

CHECKPOINT: Final = Path("build/minilm/fold0.pt")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How to train."""

    steps: int = 450
    queries_per_step: int = 5
    candidates_max: int = 16
    relevant_max: int = 6
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    dropout: float = 0.1
    seed: int = 0


def train(config: TrainConfig | None = None) -> MiniLm:
    """Train on the threads that torch has.

    Raises:
        NotInstalled: the published weights are not there.
    """
    config = config or TrainConfig()
    published, data = Published.find(), load()
    queries = [query for query in data.at(data.folds[0][0]) if query.grades.max() > 0]
    examples = all_pairs(queries, published.tokenizer())
    torch.manual_seed(config.seed)
    model = MiniLm(config.dropout)
    published.load_into(model)
    _fit(model, examples, config)
    model.eval()
    return model


def _fit(model: MiniLm, examples: Sequence[Pairs], config: TrainConfig) -> None:
    rng = np.random.default_rng(config.seed)
    decay = config.weight_decay
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps, pct_start=0.1
    )
    model.train()
    order: list[int] = []
    began = time.monotonic()
    for step in range(config.steps):
        if len(order) < config.queries_per_step:
            order = rng.permutation(len(examples)).tolist()
        part = [examples[order.pop()] for _ in range(config.queries_per_step)]
        picks = [_pick(one, config, rng) for one in part]
        inputs = [one.inputs(rows) for one, rows in zip(part, picks, strict=True)]
        feeds = {
            name: torch.from_numpy(np.concatenate([each[name] for each in inputs])) for name in inputs[0]
        }
        longest = int(feeds["tokens_length"].max())
        for name in ("tokens", "sides"):
            feeds[name] = feeds[name][:, :longest]
        grades = [torch.from_numpy(one.grades[rows]) for one, rows in zip(part, picks, strict=True)]
        loss = listwise_loss(model.score({}, **feeds)[HEAD], grades)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 25 == 24:
            sys.stderr.write(f"step {step + 1}, loss {loss.item():.3f}, {time.monotonic() - began:.0f} s\n")


def _pick(one: Pairs, config: TrainConfig, rng: np.random.Generator) -> NDArray[np.int64]:
    """Candidates of one step: some relevant ones, the rest at random."""
    order = rng.permutation(len(one.grades))
    relevant = order[one.grades[order] > 0][: config.relevant_max]
    rest = order[one.grades[order] == 0][: config.candidates_max - len(relevant)]
    return np.concatenate([relevant, rest]).astype(np.int64)


def trained() -> MiniLm:
    """The fine-tuned model: from CHECKPOINT where it stands, else trained now and put there."""
    if not CHECKPOINT.is_file():
        CHECKPOINT.parent.mkdir(parents=True, exist_ok=True)
        torch.save(train().state_dict(), CHECKPOINT)
    model = MiniLm()
    model.load_state_dict(torch.load(CHECKPOINT, weights_only=True))
    model.eval().requires_grad_(False)
    return model


if __name__ == "__main__":
    trained()
