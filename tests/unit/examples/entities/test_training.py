"""The entity ranker learns from simulated titles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from examples.entities.bm25 import Bm25
from examples.entities.data import simulate
from examples.entities.train import Example, TrainConfig, score, train_ranker
from measures.ndcg import ndcg
from measures.order import rank_order


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    data = simulate(seed=3, queries=60)
    collection = Bm25(data.titles())
    return [Example.of(query, collection) for query in data.queries]


def test_the_same_seed_gives_the_same_weights(examples: list[Example]) -> None:
    """Training draws from its own generators."""
    config = TrainConfig(epochs=1)
    one, other = (train_ranker(examples[:12], config).state_dict() for _ in range(2))

    assert all(torch.equal(one[name], other[name]) for name in one)


def test_scores_do_not_depend_on_how_far_tokens_are_padded(examples: list[Example]) -> None:
    """Training cuts the padding off; the served graph does not."""
    model = train_ranker(examples[:12], TrainConfig(epochs=1))
    rows = np.arange(5)
    inputs = examples[0].inputs(rows)
    with torch.inference_mode():
        cut = score(model, [inputs])
        whole = model.score({}, **{name: torch.from_numpy(array) for name, array in inputs.items()})

    assert torch.allclose(cut, whole["relevance"], atol=1e-5)


def test_it_learns_to_rank_by_the_tokens(examples: list[Example]) -> None:
    """With a prior that is noise, it ranks queries that it has not seen better than that noise."""
    rng = np.random.default_rng(0)
    noisy = [replace(one, prior=rng.normal(size=len(one.prior)).astype(np.float32)) for one in examples]
    model = train_ranker(noisy[:45], TrainConfig(epochs=4, candidates_max=16))
    gains = []
    for one in noisy[45:]:
        with torch.inference_mode():
            scores = score(model, [one.inputs(np.arange(len(one.grades)))]).numpy()
        gains.append(ndcg(one.grades, rank_order(scores)) - ndcg(one.grades, rank_order(one.prior)))

    assert np.mean(gains) > 0.1
