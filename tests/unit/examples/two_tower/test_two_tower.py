"""The towers: padding moves nothing, the served table is the item tower, training reads histories."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.movies.histories import padded
from examples.movies.protocol import Protocol, split
from examples.two_tower.model import HEAD, ServedByIds, TwoTower, context_of_vectors, score_of_vectors
from examples.two_tower.train import TrainConfig, train_towers
from examples.world.simulation import WorldConfig, simulate
from measures.ndcg import ndcg
from measures.order import rank_order


@pytest.fixture(scope="module")
def towers() -> TwoTower:
    torch.manual_seed(0)
    made = TwoTower(rows=30, width=8)
    torch.nn.init.normal_(made.bias.weight)
    torch.nn.init.normal_(made.recency.weight)
    return made.eval().requires_grad_(False)


def test_padding_does_not_move_a_user(towers: TwoTower) -> None:
    """Whatever stands behind the valid length; a user without a history has a vector all the same."""
    length = torch.tensor([3])
    plain = towers.user_vector(torch.tensor([[4, 9, 2, 0, 0]]), length)
    filled = towers.user_vector(torch.tensor([[4, 9, 2, 17, 11]]), length)
    torch.testing.assert_close(plain, filled, rtol=0, atol=1e-6)
    assert torch.isfinite(towers.user_vector(torch.zeros(1, 5, dtype=torch.int64), torch.tensor([0]))).all()


def test_both_served_forms_are_the_trained_one(towers: TwoTower) -> None:
    """By ids through the table, by vectors as sent: user · item + bias of the towers."""
    history, length, movie = torch.tensor([[4, 9, 2]]), torch.tensor([3]), torch.tensor([1, 5, 29, 0])
    user, item = towers.user_vector(history, length), towers.item_vector(movie)
    bias = towers.bias(movie).squeeze(1)
    expected = item @ user[0] + bias
    served = ServedByIds(towers)
    state = {name: value.expand(4, -1) for name, value in served.context(history, length).items()}
    torch.testing.assert_close(expected, served.score(state, movie)[HEAD])
    state = {name: value.expand(4, -1) for name, value in context_of_vectors(user).items()}
    torch.testing.assert_close(expected, score_of_vectors(state, item, bias)[HEAD])


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return split(simulate(WorldConfig(listeners=600, items=400, visits_median=12.0)).dataset)


def test_a_brief_training_reads_histories(protocol: Protocol) -> None:
    """A user's own history ranks the held-out item better than another user's; it repeats to the bit."""
    config = TrainConfig(epochs=2, batch=256, width=32)
    towers = train_towers(protocol, config)
    again = train_towers(protocol, config).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in towers.state_dict().items())
    test = protocol.test
    history, length = padded(protocol.train, test.first, test.end)
    other = np.random.default_rng(0).permutation(len(test))

    def quality(history: np.ndarray, length: np.ndarray) -> float:
        users = towers.user_vector(torch.from_numpy(history), torch.from_numpy(length))
        candidates = torch.from_numpy(test.candidates)
        vectors = towers.item_vector(candidates.flatten()).view(*candidates.shape, -1)
        scores = ((vectors * users[:, None]).sum(2) + towers.bias(candidates).squeeze(2)).numpy()
        labels = test.candidates == test.held[:, None]
        return float(np.mean([ndcg(labels[row], rank_order(scores[row])) for row in range(len(test))]))

    assert quality(history, length) > quality(history[other], length[other]) + 0.03
