"""The simulated world: its schema, that it repeats, and that its truth can be found in its clicks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from examples.movies.baselines import CoOccurrence, popularity
from examples.movies.histories import padded
from examples.movies.protocol import Protocol, split
from examples.world.simulation import World, WorldConfig, simulate
from measures.interval import paired_delta
from measures.ndcg import ndcg
from measures.order import rank_order

SMALL = WorldConfig(listeners=2_000, items=1_000)


@pytest.fixture(scope="module")
def world() -> World:
    return simulate(SMALL)


def test_the_same_seed_gives_the_same_clicks(world: World) -> None:
    """Two simulations of one config agree in every rating; another seed gives others."""
    again, other = simulate(SMALL).dataset.ratings, simulate(replace(SMALL, seed=1)).dataset.ratings

    assert np.array_equal(world.dataset.ratings.item, again.item)
    assert np.array_equal(world.dataset.ratings.unix_s, again.unix_s)
    assert not np.array_equal(world.dataset.ratings.item, other.item)


def test_the_schema_is_that_of_the_ratings(world: World) -> None:
    """Ordered by user and time, known items, ratings 1 to 10, no (user, item) twice."""
    ratings = world.dataset.ratings
    key = np.stack([ratings.user, ratings.unix_s], axis=1).tolist()

    assert sorted(key) == key
    assert 0 < world.dataset.catalogue.rows(ratings.item).min()
    assert 1 <= ratings.rating.min() <= ratings.rating.max() <= 10
    assert len(ratings) == len(np.unique(ratings.user * 1_000 + ratings.item))


def test_a_few_items_take_many_clicks(world: World) -> None:
    """Popularity is skewed: the top tenth of items takes more than three times its share."""
    clicks = np.sort(np.bincount(world.dataset.ratings.item, minlength=SMALL.items + 1))[::-1]

    assert 0.3 < clicks[: SMALL.items // 10].sum() / clicks.sum()


def test_a_world_of_one_item_and_one_listener_works() -> None:
    """The smallest world has one click."""
    assert 1 == len(simulate(WorldConfig(listeners=1, items=1)).dataset.ratings)


def test_an_empty_world_is_refused() -> None:
    """Zero items make no slate."""
    with pytest.raises(ValueError, match="must be >= 1"):
        WorldConfig(items=0)


def test_truth_beats_co_occurrence_beats_popularity(world: World) -> None:
    """The oracle ranks held-out clicks best and popularity worst; both gaps' 95 % intervals exclude 0."""
    protocol = split(world.dataset)
    test = protocol.test
    history, length = padded(protocol.train, test.first, test.end)
    together = CoOccurrence(protocol.train, len(world.dataset.catalogue)).score(
        history, length, test.candidates
    )
    oracle = _ndcg(protocol, world.affinity(test.user, test.candidates))
    middle = _ndcg(protocol, together)
    worst = _ndcg(protocol, popularity(protocol.counts, test.candidates))

    assert 0 < paired_delta(oracle, middle, resamples=2_000).low
    assert 0 < paired_delta(middle, worst, resamples=2_000).low


def _ndcg(protocol: Protocol, scores: NDArray[np.floating]) -> NDArray[np.float64]:
    labels = protocol.test.candidates == protocol.test.held[:, None]
    return np.array([ndcg(labels[row], rank_order(scores[row])) for row in range(len(labels))])
