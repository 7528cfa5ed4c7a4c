"""Training: it repeats, it learns, it is kept; and on the data found the ranker reads histories."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from examples.movies.report import Report, report
from examples.movies.train import TrainConfig
from examples.movies.trained import Trained, train_or_read, trained
from examples.ratings import Dataset

BRIEF = TrainConfig(epochs=2, batch=256)


@pytest.fixture(scope="module")
def brief(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_or_read(small, BRIEF, tmp_path_factory.mktemp("cache"))


def test_the_same_seed_gives_the_same_weights(small: Dataset, brief: Trained, tmp_path: Path) -> None:
    """Trained again from nothing, every weight is equal."""
    again = train_or_read(small, BRIEF, tmp_path).model.state_dict()

    assert all(torch.equal(value, again[name]) for name, value in brief.model.state_dict().items())


def test_training_leaves_the_callers_generator_and_threads_alone(small: Dataset, tmp_path: Path) -> None:
    """PyTorch's global state is what it was."""
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()

    train_or_read(small, TrainConfig(epochs=1, batch=2048), tmp_path)

    assert torch.equal(state, torch.get_rng_state())
    assert threads == torch.get_num_threads()


def test_a_second_call_reads_what_the_first_left(small: Dataset, tmp_path: Path) -> None:
    """Weights changed on disk come back: nothing was trained."""
    config = TrainConfig(epochs=1, batch=2048)
    train_or_read(small, config, tmp_path)
    [path] = tmp_path.iterdir()
    weights = torch.load(path, weights_only=True)
    weights["feature_mean"][:] = 7.0
    torch.save(weights, path)

    assert [7.0, 7.0, 7.0] == train_or_read(small, config, tmp_path).model.feature_mean.tolist()


def test_another_config_is_another_file(small: Dataset, tmp_path: Path) -> None:
    """A changed setting does not read the old weights."""
    for seed in (0, 1):
        train_or_read(small, TrainConfig(epochs=1, batch=2048, seed=seed), tmp_path)

    assert 2 == len(list(tmp_path.iterdir()))


def test_a_brief_training_beats_popularity(brief: Trained) -> None:
    """On a small world the 95 % intervals of ranker and popularity do not touch."""
    found = report(brief)

    assert found.ranker.low > found.popularity.high


@pytest.fixture(scope="module")
def found() -> Report:
    return report(trained())


def test_the_ranker_beats_popularity_and_its_prior(found: Report) -> None:
    """On the data found, the ranker's 95 % interval lies above those of popularity and co-occurrence."""
    assert found.ranker.low > found.popularity.high
    assert found.ranker.low > found.co_occurrence.high


def test_foreign_histories_cost_quality(found: Report) -> None:
    """Shown other users' histories it ranks worse, prior in place or not sent; both intervals exclude 0."""
    assert found.shuffled.low > 0
    assert found.shuffled_no_prior.low > 0


def test_the_report_says_what_it_measured(found: Report) -> None:
    """The first line names the data and the number of requests."""
    [head, *rows] = found.lines()

    assert found.source in head
    assert f"{found.requests:,} requests" in head
    assert 6 == len(rows)
