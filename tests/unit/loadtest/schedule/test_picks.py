"""Which message, class and process each arrival gets."""

import numpy as np
import pytest
from scipy import stats

from loadtest.scenario.form import Class, Phase, Poisson, Same, Sequential, Shuffle, Unique, Zipf
from loadtest.schedule import arrivals, picks


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_shuffled_passes_send_every_message_equally_often() -> None:
    """Plus or minus one, and not in the same order twice."""
    found = picks.messages(25, 10, Shuffle(), rng())
    assert {2, 3} == set(np.bincount(found, minlength=10).tolist())
    assert found[:10].tolist() != found[10:20].tolist()
    assert sorted(found[:10].tolist()) == sorted(found[10:20].tolist()) == list(range(10))


def test_sequential_and_same_are_what_they_say() -> None:
    """File order, again and again; the first message only."""
    assert [0, 1, 2, 0, 1] == picks.messages(5, 3, Sequential(), rng()).tolist()
    assert [0, 0, 0] == picks.messages(3, 3, Same(), rng()).tolist()


def test_unique_never_repeats_and_says_when_it_would() -> None:
    """A run that would need a message twice is refused before it begins."""
    assert 10 == len(set(picks.messages(10, 10, Unique(), rng()).tolist()))
    with pytest.raises(
        ValueError, match=r"workload\.order = unique: 11 requests are planned, the set holds 10"
    ):
        picks.messages(11, 10, Unique(), rng())


def test_zipf_prefers_few_messages_by_its_law() -> None:
    """Popularity falls with rank as 1 / k**s (chi-square); which message is popular depends on the seed."""
    found = np.sort(np.bincount(picks.messages(100_000, 50, Zipf(s=1.1), rng()), minlength=50))[::-1]
    law = 1 / np.arange(1, 51) ** 1.1
    assert stats.chisquare(found, law / law.sum() * 100_000).pvalue > 0.001
    favourites = {
        int(np.bincount(picks.messages(1000, 50, Zipf(s=2.0), rng(seed))).argmax()) for seed in range(8)
    }
    assert len(favourites) > 3


def test_classes_come_by_weight() -> None:
    """Three to one, independently of one another."""
    found = picks.classes(40_000, (Class(name="a", weight=3), Class(name="b", weight=1)), rng())
    assert (found == 0).mean() == pytest.approx(0.75, abs=0.01)
    assert (found[1:] == found[:-1]).mean() == pytest.approx(0.75**2 + 0.25**2, abs=0.01)


@pytest.mark.parametrize("senders", [2, 3])
def test_thinning_keeps_each_process_s_share_poisson(senders: int) -> None:
    """Each process's own gaps are exponential (Kolmogorov-Smirnov). Taking turns would give Erlang gaps."""
    at_ns = arrivals.instants(Phase(name="p", duration_s=30, arrivals=Poisson()), 1000.0, (1, 0))
    shares = picks.processes(len(at_ns), senders, rng())
    for sender in range(senders):
        gaps_s = np.diff(at_ns[shares == sender]) / 1e9
        assert stats.kstest(gaps_s, "expon", args=(0, senders / 1000)).pvalue > 0.01
