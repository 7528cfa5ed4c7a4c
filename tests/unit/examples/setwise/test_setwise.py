"""The setwise ranker: order does not matter, others of the request do, others of the batch do not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from examples.movies.listwise import HEAD
from examples.setwise.model import SetRanker
from export.grid import Grid
from protos.grid import lay_out

ROWS, LENGTH = 30, 6


@pytest.fixture(scope="module")
def ranker() -> SetRanker:
    torch.manual_seed(0)
    made = SetRanker(ROWS, width=16, heads=2)
    for layer in made.layers:  # what others say shall weigh something
        torch.nn.init.normal_(layer.out.weight)
    return made.eval().requires_grad_(False)


def scores(
    ranker: SetRanker, history: Tensor, movies: list[Tensor], spoilt: tuple[int, ...] = ()
) -> list[Tensor]:
    """Scores of each request's movies, all in one grid; features and priors follow from the movie.

    The features of the requests in `spoilt` are NaN.
    """
    counts = [len(movie) for movie in movies]
    index, position = (torch.from_numpy(array) for array in lay_out(counts))
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    flat = torch.cat(movies)
    number = flat.float()
    features = torch.stack([number / 10, number.sin(), -number / 7], dim=1)
    features[torch.isin(owner, torch.tensor(spoilt, dtype=torch.int64))] = float("nan")
    length = (torch.arange(len(counts)) * 5 + 2) % (LENGTH + 1)
    state = ranker.context(history, length)
    found = ranker.score(state, Grid(index, position, owner), flat, features, number / ROWS)
    return list(found[HEAD].split(counts))


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, list[Tensor]]:
    """Histories and movies of one to five requests of unlike sizes."""
    counts = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    movies = [torch.randint(0, ROWS, (count,), generator=generator) for count in counts]
    return torch.randint(0, ROWS, (len(counts), LENGTH), generator=generator), movies


@settings(deadline=None, max_examples=50)
@given(batch=batches(), seed=st.integers(0, 2**31))
def test_permuting_candidates_permutes_scores(
    ranker: SetRanker, batch: tuple[Tensor, list[Tensor]], seed: int
) -> None:
    """In every request of a batch."""
    history, movies = batch
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(movie), generator=generator) for movie in movies]
    plain = scores(ranker, history, movies)
    permuted = scores(ranker, history, [movie[order] for movie, order in zip(movies, orders, strict=True)])
    for before, after, order in zip(plain, permuted, orders, strict=True):
        torch.testing.assert_close(before[order], after, rtol=0, atol=1e-4)


@settings(deadline=None, max_examples=50)
@given(batch=batches(), other=batches())
def test_batch_mates_and_empty_slots_move_no_score(
    ranker: SetRanker, batch: tuple[Tensor, list[Tensor]], other: tuple[Tensor, list[Tensor]]
) -> None:
    """A request alone, behind others, and in a wider grid: the same scores."""
    history, movies = batch
    together = scores(ranker, torch.cat([other[0], history]), [*other[1], *movies])[len(other[1]) :]
    # The length of a history follows from its row, so the request keeps its place.
    for row in range(len(movies)):
        at = len(other[1]) + row
        mates = [torch.zeros(1, dtype=torch.int64)] * at
        alone = scores(ranker, torch.cat([other[0], history])[: at + 1], [*mates, movies[row]])[at]
        torch.testing.assert_close(alone, together[row], rtol=0, atol=1e-4)


@pytest.mark.parametrize("spoilt", [0, 1, 2])
def test_a_batch_mate_gone_wrong_spoils_nobody_else(ranker: SetRanker, spoilt: int) -> None:
    """NaN in one request reaches no other, wherever slots are empty: 0 x NaN would be NaN."""
    history = torch.arange(3 * LENGTH).view(3, LENGTH)
    movies = [torch.arange(count) for count in (3, 9, 5)]
    sound, found = scores(ranker, history, movies), scores(ranker, history, movies, (spoilt,))
    assert torch.isnan(found[spoilt]).all()
    for row in {0, 1, 2} - {spoilt}:
        torch.testing.assert_close(sound[row], found[row], rtol=0, atol=1e-4)


def test_a_candidate_is_judged_beside_the_others(ranker: SetRanker) -> None:
    """Take one away, and the others' scores move: such a request cannot be split."""
    history, movie = torch.tensor([[4, 9, 2, 7, 7, 1]]), torch.arange(1, 13)
    (whole,), (few,) = scores(ranker, history, [movie]), scores(ranker, history, [movie[:-1]])
    assert (whole[:-1] - few).abs().max() > 1e-2
