"""Send instants: as the process says, the same for the same seed, whatever else changes."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from loadtest.scenario.form import Arrivals, Closed, Constant, Gamma, OnOff, Phase, Poisson, Profile, Trace
from loadtest.schedule.arrivals import instants

SEED = (7, 0, 0)


def phase(arrivals: Arrivals, duration_s: float = 20.0) -> Phase:
    return Phase(name="p", duration_s=duration_s, arrivals=arrivals)


def gaps_s(at_ns: np.ndarray) -> np.ndarray:
    return np.diff(at_ns) / 1e9


def test_poisson_gaps_are_exponential() -> None:
    """Kolmogorov-Smirnov against the exponential law of the rate; the count is Poisson's too."""
    found = instants(phase(Poisson()), 1000.0, SEED)
    assert stats.kstest(gaps_s(found), "expon", args=(0, 1e-3)).pvalue > 0.01
    assert abs(len(found) - 20_000) < 4 * 20_000**0.5


def test_the_same_draws_serve_every_rate() -> None:
    """Twice the rate is the same arrivals in half the time: servers are compared on common random numbers."""
    slow = instants(phase(Poisson(), 20.0), 100.0, SEED)
    fast = instants(phase(Poisson(), 10.0), 200.0, SEED)
    np.testing.assert_allclose(slow, fast * 2, atol=2)


def test_a_longer_run_begins_with_the_shorter_one_s_arrivals() -> None:
    """Also beyond the first block of draws."""
    short, long = instants(phase(Poisson(), 5), 900.0, SEED), instants(phase(Poisson(), 15), 900.0, SEED)
    np.testing.assert_array_equal(short, long[: len(short)])


def test_another_seed_is_another_schedule() -> None:
    """And the same seed the same."""
    np.testing.assert_array_equal(
        instants(phase(Poisson()), 50.0, SEED), instants(phase(Poisson()), 50.0, SEED)
    )
    other = instants(phase(Poisson()), 50.0, (8, 0, 0))
    assert other.tolist() != instants(phase(Poisson()), 50.0, SEED).tolist()


def test_constant_arrivals_are_evenly_spaced_and_as_many_as_asked() -> None:
    """Half a gap before the first and after the last."""
    found = instants(phase(Constant(load=0.5), 2.0), 100.0, SEED)
    np.testing.assert_array_equal(found, (np.arange(100) * 20_000_000 + 10_000_000))


@pytest.mark.parametrize("cv", [0.5, 1.0, 3.0])
def test_gamma_gaps_vary_as_much_as_they_should(cv: float) -> None:
    """Mean 1 / rate, standard deviation cv times that."""
    gaps = gaps_s(instants(phase(Gamma(cv=cv), 60.0), 1000.0, SEED))
    assert gaps.mean() == pytest.approx(1e-3, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)


def test_a_ramp_ends_busier_than_it_began() -> None:
    """From 0 to 2 times the rate: three quarters of the arrivals come in the second half."""
    found = instants(phase(Profile(loads=(0.0, 2.0)), 20.0), 500.0, SEED)
    assert len(found) == pytest.approx(10_000, rel=0.05)
    assert (found > 10e9).mean() == pytest.approx(0.75, abs=0.02)


def test_an_on_off_load_is_burstier_than_poisson() -> None:
    """Counts per second vary more than their mean: the index of dispersion is far above 1."""
    found = instants(phase(OnOff(loads=(0.2, 3.0), dwell_s=(2.0, 1.0)), 200.0), 100.0, SEED)
    counts = np.bincount((found // 1_000_000_000).astype(int))
    assert counts.var() / counts.mean() > 10


def test_a_trace_is_played_as_recorded(tmp_path: Path) -> None:
    """Sorted, sped up, cut at the phase's end; nothing is resampled."""
    path = tmp_path / "trace.txt"
    path.write_text("30\n10.5\n20\n9000\n")
    found = instants(phase(Trace(path=str(path), speed=2.0), 1.0), 0.0, SEED)
    assert [5_250_000, 10_000_000, 15_000_000] == found.tolist()


@pytest.mark.parametrize("text", ["12\nsoon\n", "1\n-3\n", "nan\n"])
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, text: str) -> None:
    """By its name."""
    path = tmp_path / "trace.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"trace\.txt"):
        instants(phase(Trace(path=str(path))), 0.0, SEED)


def test_a_closed_loop_has_no_schedule() -> None:
    """It is not asked for one."""
    with pytest.raises(ValueError, match="phase p: a closed loop has no schedule"):
        instants(phase(Closed(in_flight=2)), 1.0, SEED)
