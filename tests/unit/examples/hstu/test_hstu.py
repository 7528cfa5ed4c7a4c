"""The generative ranker: its layers are HSTU with the mask written out, and candidates never meet."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from examples.hstu.model import GenerativeRanker
from examples.movies.histories import HISTORY_MAX
from examples.movies.listwise import HEAD
from export.grid import Grid
from protos.grid import lay_out

ROWS, WIDTH, HEADS = 30, 16, 2


@pytest.fixture(scope="module")
def ranker() -> GenerativeRanker:
    torch.manual_seed(0)
    made = GenerativeRanker(ROWS, WIDTH, HEADS, layers=3)
    for layer in made.layers:
        torch.nn.init.normal_(layer.bias.weight)
    return made.eval().requires_grad_(False)


def candidates(movie: Tensor) -> tuple[Tensor, Tensor]:
    """Features and prior of movies: always the same ones of a movie."""
    number = movie.float()
    return torch.stack([number / 10, number.sin(), -number / 7], dim=1), number / ROWS


def scores(ranker: GenerativeRanker, history: Tensor, length: Tensor, movies: list[Tensor]) -> list[Tensor]:
    """Scores of each request's movies, all in one grid."""
    counts = [len(movie) for movie in movies]
    index, position = (torch.from_numpy(array) for array in lay_out(counts))
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    flat = torch.cat(movies)
    grid = Grid(index, position, owner)
    found = ranker.score(ranker.context(history, length), grid, flat, *candidates(flat))
    return list(found[HEAD].split(counts))


def written_out(ranker: GenerativeRanker, history: Tensor, movie: Tensor) -> Tensor:
    """The same as one sequence: history, then candidates, under the mask of the paper's ranking."""
    steps, count = len(history), len(movie)
    features, prior = candidates(movie)
    number, item = ranker.numbers(features, prior), ranker.item(movie)
    x = torch.cat([ranker.item(history), item + ranker.movie(torch.cat([item, number], dim=1))])
    place = torch.cat([torch.arange(steps), torch.full((count,), steps)])
    sees = (place[:, None] > place[None, :]) | torch.eye(steps + count, dtype=torch.bool)
    apart = (place[:, None] - place[None, :]).clamp(min=0)
    for layer in ranker.layers:
        gate, value, query, key = functional.silu(layer.project(layer.norm(x))).chunk(4, dim=1)
        seen = []
        for head in range(HEADS):
            part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
            logits = query[:, part] @ key[:, part].T + layer.bias.weight[apart, head]
            seen.append(functional.silu(logits) * sees / HISTORY_MAX @ value[:, part])
        x = x + layer.out(layer.seen_norm(torch.cat(seen, dim=1)) * gate)
    return (ranker.logit(x[steps:]) + ranker.dense(number)).squeeze(1)


@pytest.mark.parametrize("steps", [0, 1, 7, HISTORY_MAX])
def test_it_is_hstu_with_the_mask_written_out(ranker: GenerativeRanker, steps: int) -> None:
    """One sequence of history and candidates, in which a candidate sees the history and itself."""
    generator = torch.Generator().manual_seed(steps)
    history = torch.randint(1, ROWS, (steps,), generator=generator)
    movie = torch.randint(1, ROWS, (9,), generator=generator)
    padding = torch.randint(1, ROWS, (HISTORY_MAX - steps,), generator=generator)
    padded, length = torch.cat([history, padding])[None], torch.tensor([steps])
    (found,) = scores(ranker, padded, length, [movie])
    torch.testing.assert_close(written_out(ranker, history, movie), found, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_all_at_once_is_one_by_one(ranker: GenerativeRanker, data: st.DataObject) -> None:
    """Whoever else is ranked, in this request or in others of the batch."""
    counts = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    movies = [
        torch.tensor(data.draw(st.lists(st.integers(0, ROWS - 1), min_size=n, max_size=n))) for n in counts
    ]
    length = torch.tensor([data.draw(st.integers(0, 6)) for _ in counts])
    history = torch.arange(6 * len(counts)).view(len(counts), 6) % ROWS
    together = scores(ranker, history, length, movies)
    for row, movie in enumerate(movies):
        for at in range(len(movie)):
            (alone,) = scores(ranker, history[row : row + 1], length[row : row + 1], [movie[at : at + 1]])
            torch.testing.assert_close(alone, together[row][at : at + 1], rtol=0, atol=1e-5)
