"""The ranker's masks: padding changes nothing, an empty history and an absent prior are defined."""

from __future__ import annotations

import pytest
import torch

from examples.movies.histories import HISTORY_MAX
from examples.movies.model import HEAD, MovieRanker, listwise_loss

N = 7


@pytest.fixture(scope="module")
def model() -> MovieRanker:
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MovieRanker(rows=30, width=16, heads=2, hidden=32).eval().requires_grad_(False)


def _taste(model: MovieRanker, history: list[int], longest: int, pad: int = 0) -> torch.Tensor:
    row = torch.tensor([history + [pad] * (longest - len(history))])
    return model.context(row, torch.tensor([len(history)]))["taste"]


def test_padding_does_not_change_the_taste(model: MovieRanker) -> None:
    """Three movies padded to three and to the maximum give one taste."""
    torch.testing.assert_close(_taste(model, [4, 9, 2], 3), _taste(model, [4, 9, 2], HISTORY_MAX))


def test_what_stands_in_the_padding_does_not_matter(model: MovieRanker) -> None:
    """Padding with another movie gives the same taste, bit for bit."""
    assert torch.equal(_taste(model, [4, 9], 5, pad=0), _taste(model, [4, 9], 5, pad=17))


def test_an_empty_history_is_defined(model: MovieRanker) -> None:
    """No history gives a finite taste, whatever the padding."""
    empty = _taste(model, [], HISTORY_MAX, pad=3)

    assert torch.isfinite(empty).all()
    assert torch.equal(empty, _taste(model, [], HISTORY_MAX, pad=8))


def test_the_history_and_its_order_matter(model: MovieRanker) -> None:
    """Another movie, and another most recent movie, give another taste."""
    assert not torch.allclose(_taste(model, [4, 9], 5), _taste(model, [4, 10], 5))
    assert not torch.allclose(_taste(model, [4, 9], 5), _taste(model, [9, 4], 5))


def test_a_candidates_score_depends_on_no_other_candidate(model: MovieRanker) -> None:
    """Scores of all candidates, reversed, are the scores of the candidates reversed."""
    generator = torch.Generator().manual_seed(1)
    state = {"taste": _taste(model, [4, 9, 2], 5).expand(N, -1)}
    movie = torch.randint(0, 30, (N,), generator=generator)
    features, prior = torch.randn(N, 3, generator=generator), torch.rand(N, generator=generator)
    forward = model.score(state, movie, features, prior)[HEAD]
    backward = model.score(state, movie.flip(0), features.flip(0), prior.flip(0))[HEAD]

    assert (N,) == forward.shape
    torch.testing.assert_close(forward.flip(0), backward)


def test_an_absent_prior_is_finite(model: MovieRanker) -> None:
    """Prior 0 and a negative prior (which co-occurrence never sends) both score."""
    state = {"taste": _taste(model, [1], 5).expand(2, -1)}
    scores = model.score(state, torch.tensor([1, 2]), torch.zeros(2, 3), torch.tensor([0.0, -1.0]))[HEAD]

    assert torch.isfinite(scores).all()


def test_features_are_standardised() -> None:
    """Mean and spread of the features given become 0 and 1."""
    model = MovieRanker(rows=3, width=4, heads=1, hidden=8)
    features = torch.tensor([[1990.0, 1.0, 5.0], [2010.0, 3.0, 9.0]])
    model.set_feature_scale(features)
    scaled = (features - model.feature_mean) * model.feature_scale

    torch.testing.assert_close(scaled.mean(0), torch.zeros(3))
    torch.testing.assert_close(scaled.std(0), torch.ones(3))


def test_the_loss_of_equal_scores_is_the_logarithm_of_their_number() -> None:
    """Four candidates scored alike: log 4."""
    torch.testing.assert_close(torch.tensor(4.0).log(), listwise_loss(torch.zeros(2, 4)))
