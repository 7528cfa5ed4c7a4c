"""Training material: targets look back only, negatives are unseen, own ratings are taken out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.movies.baselines import CoOccurrence
from examples.movies.batches import TARGETS_PER_USER_MAX, Batches, Material, Sampler, examples_of
from examples.movies.features import Features
from examples.movies.histories import HISTORY_MAX, padded
from examples.movies.protocol import Protocol
from examples.ratings import Dataset, Ratings


@pytest.fixture(scope="module")
def material(small: Dataset, small_protocol: Protocol) -> Material:
    train, rows = small_protocol.train, len(small.catalogue)
    return Material(train, small_protocol.counts, CoOccurrence(train, rows), Features(train, small.catalogue))


def test_a_history_is_what_came_before_in_order() -> None:
    """The most recent items, oldest first, padded on the right."""
    train = Ratings.in_order(np.ones(4), np.array([5, 6, 7, 8]), np.ones(4), np.arange(4))
    history, length = padded(train, np.array([0, 0, 0]), np.array([3, 1, 0]), longest=2)

    assert [[6, 7], [5, 0], [0, 0]] == history.tolist()
    assert [2, 1, 0] == length.tolist()


def test_a_target_sees_only_its_users_earlier_ratings(material: Material) -> None:
    """Every item of every history was rated by that user before the target, in order and in time."""
    train = material.train
    examples = examples_of(train, material.counts)

    assert 1_000 < len(examples.at)
    for at, history, length in zip(examples.at, examples.history, examples.length, strict=True):
        before = slice(at - length, at)
        assert train.item[before].tolist() == history[:length].tolist()
        assert (train.user[before] == train.user[at]).all()
        assert train.unix_s[before].max() <= train.unix_s[at]
        assert 1 <= length <= HISTORY_MAX


def test_a_busy_user_has_a_bounded_number_of_targets(material: Material) -> None:
    """No user has more than TARGETS_PER_USER_MAX, and some user reaches it."""
    targets = np.bincount(material.train.user[examples_of(material.train, material.counts).at])

    assert TARGETS_PER_USER_MAX == targets.max()


def test_negatives_were_not_rated_by_their_user(material: Material) -> None:
    """No drawn item is a training rating of the user it is drawn for."""
    train = material.train
    user = train.user[::7]
    drawn = Sampler(train, material.counts).draw(user, 20, np.random.default_rng(0))
    rated = set(zip(train.user.tolist(), train.item.tolist(), strict=True))

    assert not rated & {(u, i) for u, row in zip(user.tolist(), drawn.tolist(), strict=True) for i in row}


def test_negatives_follow_popularity() -> None:
    """For a user who rated nothing, items 1 and 2 with counts 3 and 1 are drawn 3 to 1."""
    train = Ratings.in_order(np.array([1, 2, 3, 4]), np.array([1, 1, 1, 2]), np.ones(4), np.zeros(4))
    drawn = Sampler(train, np.array([0, 3, 1])).draw(np.array([9]), 4_000, np.random.default_rng(0))

    assert 3_000 == pytest.approx((drawn == 1).sum(), abs=4 * np.sqrt(750))


def test_a_user_who_rated_everything_gets_the_unknown_row() -> None:
    """There is nothing to draw, and the draw ends."""
    train = Ratings.in_order(np.array([1, 1]), np.array([1, 2]), np.ones(2), np.arange(2))

    assert [[0, 0, 0]] == Sampler(train, np.array([0, 1, 1])).draw(
        np.array([1]), 3, np.random.default_rng(0)
    ).tolist()


def test_a_batch_holds_what_a_caller_would_send(material: Material) -> None:
    """The target in column 0; prior and features as counted without the target's own rating."""
    rows = np.arange(64)
    examples = examples_of(material.train, material.counts)
    batches = Batches(material, negatives=3, prior_absent_share=0.0, rng=np.random.default_rng(0))
    batch = batches.batch(rows)
    target = material.train.item[examples.at[rows]]

    assert target.tolist() == batch.candidates[:, 0].tolist()
    assert np.log(material.counts[target]) == pytest.approx(batch.features[:, 0, 1].numpy(), rel=1e-5)
    full = material.prior.score(examples.history[rows], examples.length[rows], batch.candidates.numpy())
    assert (batch.prior[:, 0].numpy() < full[:, 0]).all()
    assert np.array_equal(full[:, 1:], batch.prior[:, 1:].numpy())


def test_some_targets_see_no_prior(material: Material) -> None:
    """A share of 1 hides every prior."""
    batch = Batches(material, 3, prior_absent_share=1.0, rng=np.random.default_rng(0)).batch(np.arange(8))

    assert torch.equal(torch.zeros(8, 4), batch.prior)
