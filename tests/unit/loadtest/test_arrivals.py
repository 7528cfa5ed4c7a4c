"""When requests are sent, and which."""

import numpy as np
import pytest
from scipy.stats import kstest

from loadtest import arrivals


def test_gaps_are_exponential() -> None:
    """The gaps of a Poisson process at 200/s are exponential with mean 5 ms (Kolmogorov-Smirnov)."""
    gaps_s = np.diff(arrivals.poisson(200, 60, seed=3)) / 1e9
    assert kstest(gaps_s, "expon", args=(0, 1 / 200)).pvalue > 0.01


def test_arrivals_ascend_within_the_run() -> None:
    """No request is scheduled before the run or after it, or before its predecessor."""
    instants = arrivals.poisson(500, 3, seed=1)
    assert instants[0] >= 0
    assert instants[-1] < 3e9
    assert (np.diff(instants) >= 0).all()


def test_a_seed_is_a_schedule() -> None:
    """The same seed gives the same digest; another seed, rate or pick another one."""
    instants, picked = arrivals.poisson(100, 5, seed=7), arrivals.picks(500, 20, seed=7)
    digest = arrivals.digest(instants, picked)
    assert digest == arrivals.digest(arrivals.poisson(100, 5, seed=7), arrivals.picks(500, 20, seed=7))
    others = {
        arrivals.digest(arrivals.poisson(100, 5, seed=8), picked),
        arrivals.digest(arrivals.poisson(101, 5, seed=7), picked),
        arrivals.digest(instants, arrivals.picks(500, 20, seed=8)),
    }
    assert 3 == len(others - {digest})


def test_rates_share_their_draws() -> None:
    """Twice the rate is the same schedule twice as fast: common random numbers."""
    slow, fast = arrivals.poisson(50, 10, seed=5), arrivals.poisson(100, 5, seed=5)
    np.testing.assert_allclose(slow / 2, fast, atol=1)


def test_a_longer_run_begins_with_the_shorter() -> None:
    """Prolonging a run does not change what came before."""
    short, long = arrivals.poisson(300, 2, seed=5), arrivals.poisson(300, 60, seed=5)
    np.testing.assert_array_equal(short, long[: len(short)])


@pytest.mark.parametrize(("rate", "duration"), [(0, 1), (-1, 1), (1, 0)])
def test_no_rate_no_schedule(rate: float, duration: float) -> None:
    """A rate or a duration of zero is a mistake, not an empty run."""
    with pytest.raises(ValueError) as caught:
        arrivals.poisson(rate, duration, seed=0)
    assert "must be above 0" in str(caught.value)


def test_every_message_comes_equally_often() -> None:
    """Picks are shuffled passes: counts differ by one at most, and the order is not the file's."""
    picked = arrivals.picks(107, 10, seed=2)
    counts = np.bincount(picked, minlength=10)
    assert (10, 11) == (counts.min(), counts.max())
    assert list(range(10)) != picked[:10].tolist()


def test_shares_split_the_schedule() -> None:
    """Every arrival belongs to exactly one process, and the shares are about equal."""
    share = arrivals.shares(9000, 3, seed=4)
    counts = np.bincount(share, minlength=3)
    assert 9000 == counts.sum()
    assert 3 == len(counts)
    assert counts.min() > 2800
