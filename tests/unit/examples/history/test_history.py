"""The history ranker: padding moves nothing, batch-mates move nothing, training reads histories."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.history.model import HistoryRanker
from examples.history.spec import train
from examples.movies.histories import padded
from examples.movies.listwise import HEAD, TrainConfig, Trained
from examples.world.simulation import WorldConfig, simulate
from export.grid import Grid
from measures.ndcg import ndcg
from measures.order import rank_order
from protos.grid import lay_out


@pytest.fixture(scope="module")
def ranker() -> HistoryRanker:
    torch.manual_seed(0)
    return HistoryRanker(rows=30, width=16, heads=2, hidden=32).eval().requires_grad_(False)


def scores(
    ranker: HistoryRanker, history: torch.Tensor, length: torch.Tensor, counts: list[int]
) -> torch.Tensor:
    """Scores of so many candidates per history, always the same ones of a catalogue."""
    index, position = (torch.from_numpy(array) for array in lay_out(counts))
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    movie = torch.cat([torch.arange(count) for count in counts])
    features = torch.stack([movie.float(), movie.float() / 2, -movie.float()], dim=1) / 10
    grid = Grid(index, position, owner)
    return ranker.score(ranker.context(history, length), grid, movie, features, movie.float() / 30)[HEAD]


def test_padding_does_not_move_a_score(ranker: HistoryRanker) -> None:
    """Whatever stands behind the valid length; an empty history scores all the same."""
    length = torch.tensor([3])
    plain = scores(ranker, torch.tensor([[4, 9, 2, 0, 0]]), length, [7])
    filled = scores(ranker, torch.tensor([[4, 9, 2, 17, 11]]), length, [7])
    torch.testing.assert_close(plain, filled, rtol=0, atol=1e-6)
    empty = scores(ranker, torch.zeros(1, 5, dtype=torch.int64), torch.tensor([0]), [7])
    assert torch.isfinite(empty).all()
    assert not torch.allclose(plain, empty)


def test_each_candidate_asks_its_own_history(ranker: HistoryRanker) -> None:
    """In a grid with empty slots every request is scored as alone."""
    history = torch.tensor([[4, 9, 2, 0], [1, 1, 8, 7], [5, 0, 0, 0]])
    length, counts = torch.tensor([3, 4, 1]), [2, 9, 5]
    together = scores(ranker, history, length, counts).split(counts)
    for row, count in enumerate(counts):
        alone = scores(ranker, history[row : row + 1], length[row : row + 1], [count])
        torch.testing.assert_close(alone, together[row], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def trained() -> Trained:
    world = simulate(WorldConfig(listeners=600, items=400, visits_median=12.0))
    return train(world.dataset, TrainConfig(batch=256, width=32, prior_absent_share=1.0))


def test_a_brief_training_reads_histories(trained: Trained) -> None:
    """Without a prior a user's own history ranks the held-out item better than another user's."""
    test, train_ratings = trained.protocol.test, trained.material.train
    history, length = padded(train_ratings, test.first, test.end)
    other = np.random.default_rng(0).permutation(len(test))
    features = torch.from_numpy(trained.material.features.of(test.candidates)).flatten(0, 1)
    count, each = test.candidates.shape
    flat = torch.arange(count * each)
    grid = Grid(flat.view(count, each), flat, flat // each)

    def quality(history: np.ndarray, length: np.ndarray) -> float:
        state = trained.model.context(torch.from_numpy(history), torch.from_numpy(length))
        movie = torch.from_numpy(test.candidates).flatten()
        found = trained.model.score(state, grid, movie, features, torch.zeros(count * each))[HEAD]
        rows = found.view(count, each).numpy()
        labels = test.candidates == test.held[:, None]
        return float(np.mean([ndcg(labels[row], rank_order(rows[row])) for row in range(count)]))

    assert quality(history, length) > quality(history[other], length[other]) + 0.03
