"""Labels of both tasks, histories with what they were given, and a model that padding does not move."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.movies.baselines import CoOccurrence
from examples.movies.batches import Material, Sampler, examples_of
from examples.movies.features import Features
from examples.movies.histories import padded
from examples.movies.protocol import Protocol, split
from examples.multitask.model import TASKS, MultiTaskRanker
from examples.multitask.tasks import LIKE, WATCH, head_labels, held_ratings, rated
from examples.multitask.train import candidates_of
from examples.ratings import Dataset
from examples.world.simulation import WorldConfig, simulate


@pytest.fixture(scope="module")
def small() -> Dataset:
    return simulate(WorldConfig(listeners=300, items=400, visits_median=12.0)).dataset


@pytest.fixture(scope="module")
def protocol(small: Dataset) -> Protocol:
    return split(small)


def test_nobody_knows_whether_an_unwatched_movie_is_liked() -> None:
    """watch is 0 or 1 everywhere; like is NaN but for the watched, where a rating of 8 is a like."""
    labels = head_labels(np.array([False, True, True]), np.array([9.0, 7.5, 8.0], np.float32))
    assert [0.0, 1.0, 1.0] == labels[WATCH].tolist()
    np.testing.assert_array_equal([np.nan, 0.0, 1.0], labels[LIKE])


def test_ratings_stand_where_their_movies_do(protocol: Protocol) -> None:
    """Padded alike: for every place of every test user's history, the rating of that very movie."""
    train, test = protocol.train, protocol.test
    history, length = padded(train, test.first, test.end)
    ratings = rated(train, test.first, test.end)
    assert history.shape == ratings.shape
    for row in range(len(test)):
        own = slice(test.first[row], test.end[row])
        given = dict(zip(train.item[own], train.rating[own], strict=True))
        kept = int(length[row])
        assert [given[item] for item in history[row, :kept]] == ratings[row, :kept].tolist()
        assert not ratings[row, kept:].any()


def test_held_ratings_are_those_of_the_held_out_items(small: Dataset, protocol: Protocol) -> None:
    """Looked up by user and item in the whole data set."""
    known = {
        (user, item): rating
        for user, item, rating in zip(
            small.ratings.user.tolist(),
            small.catalogue.rows(small.ratings.item).tolist(),
            small.ratings.rating.tolist(),
            strict=True,
        )
    }
    pairs = zip(protocol.test.user.tolist(), protocol.test.held.tolist(), strict=True)
    assert [known[pair] for pair in pairs] == held_ratings(small, protocol).tolist()


def test_a_target_s_candidates_are_itself_and_movies_that_its_user_never_rated(
    small: Dataset, protocol: Protocol
) -> None:
    """Column 0 is the target with its rating; its own rating is not in its features."""
    train, rows = protocol.train, len(small.catalogue)
    material = Material(train, protocol.counts, CoOccurrence(train, rows), Features(train, small.catalogue))
    examples = examples_of(train, protocol.counts)
    few = np.arange(0, len(examples.at), 7)
    sampler = Sampler(train, protocol.counts)
    found = candidates_of(material, examples, few, sampler, 9, np.random.default_rng(0))
    at = examples.at[few]
    assert train.item[at].tolist() == found.candidates[:, 0].tolist()
    assert train.rating[at].tolist() == found.rating.tolist()
    for user, others in zip(train.user[at].tolist(), found.candidates[:, 1:], strict=True):
        assert not set(others.tolist()) & set(train.item[train.user == user].tolist())
    with_own = material.features.of(found.candidates)
    assert (found.features[:, 0, 1] < with_own[:, 0, 1]).all()
    np.testing.assert_array_equal(with_own[:, 1:], found.features[:, 1:])


def test_padding_does_not_move_a_score_and_an_empty_history_is_defined() -> None:
    """Whatever stands behind the valid length, in both inputs; with nothing valid the scores are finite."""
    torch.manual_seed(0)
    model = MultiTaskRanker(rows=30, width=8, experts=3, hidden=4).eval().requires_grad_(False)
    history = torch.tensor([[4, 9, 2, 0, 0]])
    ratings = torch.tensor([[8.0, 3.0, 10.0, 0.0, 0.0]])
    length = torch.tensor([3])

    def score(history: torch.Tensor, ratings: torch.Tensor, length: torch.Tensor) -> dict[str, torch.Tensor]:
        state = model.context(history, ratings, length)
        gathered = {name: value.expand(6, -1) for name, value in state.items()}
        return model.score(
            gathered, torch.arange(1, 7), torch.randn(6, 3, generator=torch.Generator()), torch.zeros(6)
        )

    torch.manual_seed(1)
    plain = score(history, ratings, length)
    filled = score(torch.where(history > 0, history, 17), torch.where(ratings > 0, ratings, 5.0), length)
    for task in TASKS:
        assert (6,) == plain[task].shape
        torch.testing.assert_close(plain[task], filled[task], rtol=0, atol=1e-6)
        assert torch.isfinite(score(history, ratings, torch.tensor([0]))[task]).all()
    cooler = score(history, ratings - 4.0, length)
    assert not torch.allclose(plain[LIKE], cooler[LIKE])
