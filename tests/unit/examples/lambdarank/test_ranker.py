"""The lambdarank ranker and its prior: by hand where small, on the real data where it is there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from examples.lambdarank.data import FEATURES, Queries, load
from examples.lambdarank.linear_prior import fit
from examples.lambdarank.model import HEAD, CrossLayer, DeepCrossRanker
from examples.lambdarank.report import report
from examples.lambdarank.spec import RESAMPLED, spec
from examples.lambdarank.train import TrainConfig, listwise_loss, train_ranker
from measures.ndcg import ndcg
from measures.order import rank_order


def _queries(count: int, seed: int) -> Queries:
    """Queries of 8 documents whose grade is features 3 plus 7, cut into three; the rest is noise."""
    rng = np.random.default_rng(seed)
    features = rng.random((count * 8, FEATURES)).astype(np.float32)
    labels = np.digitize(features[:, 3] + features[:, 7], [0.8, 1.3]).astype(np.float32)
    return Queries(features, labels, np.arange(0, count * 8 + 1, 8))


def test_a_cross_layer_by_hand() -> None:
    """x0 * (W x + b) + x with W = 2 and b = 1: 3 * (2 * 5 + 1) + 5 = 38."""
    layer = CrossLayer(1)
    layer.load_state_dict({"linear.weight": torch.tensor([[2.0]]), "linear.bias": torch.tensor([1.0])})

    assert 38.0 == layer(torch.tensor([3.0]), torch.tensor([5.0])).item()


def test_the_loss_by_hand() -> None:
    """Grades 1 and 2 have gains 1 and 3; at equal scores the loss is log 2 whatever the targets."""
    loss = listwise_loss(torch.zeros(4), [torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0])])

    assert math.log(2) == pytest.approx(loss.item())


def test_the_prior_finds_the_features_that_matter() -> None:
    """Of 300 features the two that make the grade are chosen, with positive weights."""
    prior = fit(_queries(100, seed=0))
    weight = dict(zip(prior.columns.tolist(), prior.weights.tolist(), strict=True))

    assert {3, 7} <= set(weight)
    assert min(weight[3], weight[7]) > max(abs(w) for column, w in weight.items() if column not in (3, 7))


def test_training_learns_and_repeats() -> None:
    """On unseen queries of the same rule the order is far better than chance; training repeats."""
    config = TrainConfig(epochs=4, learning_rate=1e-3)
    model, again = train_ranker(_queries(100, seed=0), config), train_ranker(_queries(100, seed=0), config)
    with torch.inference_mode():
        found = [
            ndcg(labels, rank_order(model.score({}, torch.from_numpy(features))[HEAD].numpy()), k=3)
            for features, labels in _queries(50, seed=1)
        ]
    chance = [ndcg(labels, np.arange(8), k=3) for _, labels in _queries(50, seed=1)]

    assert np.nanmean(found) > np.nanmean(chance) + 0.15
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_documents_score_depends_on_no_other_document() -> None:
    """Scored alone or with others, a document scores the same."""
    model = DeepCrossRanker().eval()
    features = torch.rand(5, FEATURES, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(model.score({}, features)[HEAD][2:3], model.score({}, features[2:3])[HEAD])


@pytest.mark.usefixtures("_data")
def test_the_ranker_ranks_far_better_than_chance() -> None:
    """Over the 50 test queries, nDCG@10 of ranker and of prior lies above that of the documents as given."""
    found = report()
    as_given = [ndcg(labels, np.arange(len(labels)), k=10) for _, labels in load().test]

    assert 50 == found.requests
    assert min(found.ranker.low, found.prior.low) > np.nanmean(as_given)


@pytest.mark.usefixtures("_data")
def test_the_spec_has_no_context_and_enough_requests() -> None:
    """50 labelled test queries, 1,000 resampled lists, 201 training queries; every request has a prior."""
    found = spec()

    assert ["candidate"] == [entry.role for entry in found.inputs]
    assert (50, RESAMPLED, 201) == (len(found.requests), len(found.unlabelled), len(found.calibration))
    assert {} == found.context()
    for request in [*found.requests, *found.unlabelled, *found.calibration]:
        assert request.prior_scores is not None
        assert (request.count, FEATURES) == request.candidates["features"].shape
