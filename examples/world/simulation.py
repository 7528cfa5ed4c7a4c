"""Listeners click their way through the catalogue; their clicks come out in the schema of the movie ratings.

At each visit a first-stage retriever shows a slate, half of it popular items, half popular items of genres
that the listener likes, and the listener clicks one with probability softmax(choosiness * affinity): a
multinomial logit over the slate (McFadden 1974). Affinity, the truth that a ranker tries to learn, stays
readable, so that a test can hold a learned order against it. Every draw comes from one seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.ratings import Dataset, Ratings
from examples.world.items import Items, make_items

_VISITS_PER_BLOCK = 1 << 14
"""Visits simulated at once: bounds memory at some 100 MiB whatever the world's size."""
_DAY_S = 86_400
_START_UNIX_S = 1_700_000_000
_PERIOD_DAYS = 180
_GENRES_LIKED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldConfig:
    """How big the world is and how it behaves. The default is about as big as the movie ratings.

    Attributes:
        visits_median, visits_sigma: visits per listener are log-normal; a repeated click is not counted
        twice.
        zipf: popularity exponent of what the first stage shows.
        choosiness: weight of affinity (-1 to 1) in a click's logit; 0 = clicks at random from the slate.
    """

    listeners: int = 8_000
    items: int = 4_000
    visits_median: float = 8.0
    visits_sigma: float = 1.0
    visits_max: int = 300
    slate: int = 20
    dims: int = 12
    zipf: float = 1.0
    choosiness: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.listeners, self.items, self.visits_max, self.slate, self.dims) < 1:
            raise ValueError("listeners, items, visits_max, slate and dims must be >= 1")


@dataclass(frozen=True, slots=True)
class World:
    """The simulated data and the truth behind it.

    Attributes:
        dataset: listeners are users 1..listeners; ratings are 1 to 10, rising with affinity.
        items: with their places in taste space.
        taste: float64 [listeners + 1, dims], unit vectors; row 0 belongs to nobody.
    """

    dataset: Dataset
    items: Items
    taste: NDArray[np.float64]

    def affinity(self, user: NDArray[np.int64], item_rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """True liking, -1 to 1, of catalogue rows [..., n] by users [...]: the oracle's score."""
        liking: NDArray[np.float64] = np.einsum(
            "...nd,...d->...n", self.items.place[item_rows], self.taste[user]
        )
        return liking


def simulate(config: WorldConfig) -> World:
    """Simulate a world; the same config gives the same world."""
    rng = np.random.default_rng(config.seed)
    items = make_items(config.items, config.dims, config.zipf, rng)
    taste, liked = _listeners(config, items, rng)
    visits = np.exp(rng.normal(np.log(config.visits_median), config.visits_sigma, config.listeners))
    user = np.repeat(
        np.arange(1, config.listeners + 1), np.clip(visits, 1, config.visits_max).astype(np.int64)
    )
    shelves = _Shelves(items)
    clicked = np.concatenate(
        [
            _click(user[at : at + _VISITS_PER_BLOCK], (taste, liked), shelves, config, rng)
            for at in range(0, len(user), _VISITS_PER_BLOCK)
        ]
    )
    unix_s = _START_UNIX_S + rng.integers(0, _PERIOD_DAYS * _DAY_S, len(user))
    liking = np.einsum("vd,vd->v", items.place[clicked], taste[user])
    rating = np.clip(np.rint(6.0 + 3.0 * liking + rng.normal(0, 1, len(user))), 1, 10)
    ratings = Ratings.in_order(user, items.catalogue.keys[clicked], rating, unix_s)
    size = f"{config.listeners:,} listeners, {config.items:,} items, seed {config.seed}"
    source = f"simulated listening world ({size})"
    return World(Dataset(ratings.where(_first_clicks(ratings)), items.catalogue, source), items, taste)


def _listeners(
    config: WorldConfig, items: Items, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Tastes [listeners + 1, dims] near a few liked genres [listeners + 1, _GENRES_LIKED]."""
    rows = config.listeners + 1
    liked = rng.integers(0, len(items.genre_centre), size=(rows, _GENRES_LIKED))
    weight = rng.dirichlet(np.full(_GENRES_LIKED, 0.7), size=rows)
    taste = np.einsum("lg,lgd->ld", weight, items.genre_centre[liked]) + 0.3 * rng.normal(
        size=(rows, config.dims)
    ) / np.sqrt(config.dims)
    return taste / np.linalg.norm(taste, axis=1, keepdims=True), liked


class _Shelves:
    """The first stage's index: items (and their places) of each genre, and of all, drawn by popularity."""

    def __init__(self, items: Items) -> None:
        rows = np.arange(1, len(items.popularity))
        self.place = items.place
        self._order = rows[np.argsort(items.genre[1:], kind="stable")]
        self._cumulative = np.concatenate([[0.0], np.cumsum(items.popularity[self._order])])
        edges = np.searchsorted(items.genre[self._order], np.arange(len(items.genre_centre) + 1))
        self._edge = self._cumulative[edges]

    def of_all(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """Rows drawn from everything; `u` uniform in [0, 1)."""
        return self._at(u * self._cumulative[-1])

    def of_genre(self, genre: NDArray[np.int64], u: NDArray[np.float64]) -> NDArray[np.int64]:
        """Rows drawn within `genre` (same shape as `u`); from a neighbour's shelf when a genre is empty."""
        return self._at(self._edge[genre] + u * (self._edge[genre + 1] - self._edge[genre]))

    def _at(self, mass: NDArray[np.float64]) -> NDArray[np.int64]:
        at = np.searchsorted(self._cumulative, mass, side="right") - 1
        return self._order[np.clip(at, 0, len(self._order) - 1)]


def _click(
    user: NDArray[np.int64],
    tastes: tuple[NDArray[np.float64], NDArray[np.int64]],
    shelves: _Shelves,
    config: WorldConfig,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """The row clicked at each visit [V] by the users [V]."""
    taste, liked = tastes
    shape = (len(user), config.slate)
    half = config.slate // 2
    pick = rng.integers(0, _GENRES_LIKED, shape)
    slate = shelves.of_genre(np.take_along_axis(liked[user], pick, axis=1), rng.random(shape))
    slate[:, :half] = shelves.of_all(rng.random((len(user), half)))
    affinity = np.einsum("vsd,vd->vs", shelves.place[slate], taste[user])
    # The maximum of logits plus Gumbel noise is a draw from their softmax.
    choice = np.argmax(config.choosiness * affinity + rng.gumbel(size=shape), axis=1)
    clicked: NDArray[np.int64] = slate[np.arange(len(user)), choice]
    return clicked


def _first_clicks(ratings: Ratings) -> NDArray[np.bool_]:
    """True where a user meets an item for the first time; ratings in order."""
    pair = ratings.user * (ratings.item.max(initial=0) + 1) + ratings.item
    _, first = np.unique(pair, return_index=True)
    keep = np.zeros(len(ratings), np.bool_)
    keep[first] = True
    return keep
