"""Requests of other sizes: as many candidates as the distribution says, and still whole requests."""

import numpy as np
import pytest

from loadtest import candidates
from loadtest.scenario.form import LogNormal, Quantiles, Values
from loadtest.scenario.load import load
from podium.v1 import ranking_pb2 as pb


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_values_are_equally_likely() -> None:
    """Each about as often as it stands in the list."""
    found = candidates.draw(Values(values=(100, 200, 200, 700)), 40_000, rng())
    values, counts = np.unique(found, return_counts=True)
    assert [100, 200, 700] == values.tolist()
    np.testing.assert_allclose(counts / 40_000, [0.25, 0.5, 0.25], atol=0.01)


def test_quantiles_are_met() -> None:
    """Straight lines between the points, the ends included."""
    points = ((0.0, 20.0), (0.5, 88.0), (0.99, 492.0), (1.0, 1506.0))
    found = candidates.draw(Quantiles(points=points), 100_000, rng())
    np.testing.assert_allclose(np.quantile(found, [0.25, 0.5, 0.95]), [54, 88, 459], rtol=0.02)
    assert 20 <= found.min()
    assert 1400 < found.max() <= 1506


def test_a_lognormal_is_clipped() -> None:
    """Median as said, nothing outside the limits."""
    found = candidates.draw(LogNormal(median=100, sigma=0.8, least=10, most=1000), 50_000, rng())
    assert np.median(found) == pytest.approx(100, rel=0.03)
    assert (10, 1000) == (found.min(), found.max())


def test_the_heavy_tail_scenario_has_the_sizes_of_its_sources() -> None:
    """DBpedia-Entity v2: mean 106 by its 467 queries; MLPerf DLRM v2: mean 270."""
    search, recommendation = load("heavy-tail").workload.mix
    assert search.candidates is not None
    assert recommendation.candidates is not None
    assert candidates.draw(search.candidates, 200_000, rng()).mean() == pytest.approx(105.5, rel=0.03)
    assert candidates.draw(recommendation.candidates, 200_000, rng()).mean() == pytest.approx(270, rel=0.01)


def test_fewer_are_a_part_in_order_and_more_are_the_same_again() -> None:
    """A part is drawn at random; repeating goes round."""
    part = candidates.rows(10, 4, rng())
    assert 4 == len(set(part.tolist()))
    assert sorted(part.tolist()) == part.tolist()
    assert part.tolist() != [0, 1, 2, 3]
    assert [0, 1, 2, 0, 1, 2, 0] == candidates.rows(3, 7, rng()).tolist()
    assert [0, 1, 2] == candidates.rows(3, 3, rng()).tolist()


def test_every_column_of_a_message_follows() -> None:
    """Ids, prior, features, texts and the count; the context stays."""
    message = pb.RankRequest(
        context=[pb.Tensor(name="user", shape=[1], data=b"\1\0\0\0")],
        candidates=pb.Candidates(
            count=3,
            int_ids=np.array([7, 8, 9], "<i8").tobytes(),
            prior_scores=np.array([0.1, 0.2, 0.3], "<f4").tobytes(),
            texts=["a", "b", "c"],
            columns=[
                pb.Tensor(name="f", shape=[3, 2], data=np.arange(6, dtype="<f4").tobytes()),
                pb.Tensor(name="flag", shape=[3], data=b"\0\1\0"),
            ],
        ),
    )
    candidates.resize(message, np.array([2, 0, 1, 2]))
    found = message.candidates
    assert (4, ["c", "a", "b", "c"]) == (found.count, list(found.texts))
    assert [9, 7, 8, 9] == np.frombuffer(found.int_ids, "<i8").tolist()
    np.testing.assert_allclose(np.frombuffer(found.prior_scores, "<f4"), [0.3, 0.1, 0.2, 0.3])
    assert ([4, 2], [4, 5, 0, 1, 2, 3, 4, 5]) == (
        list(found.columns[0].shape),
        np.frombuffer(found.columns[0].data, "<f4").tolist(),
    )
    assert ([4], b"\0\0\1\0") == (list(found.columns[1].shape), found.columns[1].data)
    assert b"\1\0\0\0" == message.context[0].data
