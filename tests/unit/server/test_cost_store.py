"""What cost models learned survives a restart, on the same machine and where it still fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.core.cost import CostModel
from server.core.decisions import Lane
from server.core.line import Line
from server.cost_store import CostStore, kept

LANE = Lane("movies", 3, "int8")
BUNDLE = "ab" * 32


def model(factor: float = 1.0) -> CostModel:
    return CostModel(Line(50_000 * factor, 8_000 * factor, 2_500 * factor))


def test_what_was_learned_is_resumed(tmp_path: Path) -> None:
    """The next process predicts what this one did."""
    learned = model(1.3)
    learned.ratios[:] = [1.1, 1.4, 1.0]
    CostStore(tmp_path / "new", "ort").save(LANE, BUNDLE, learned.state())
    fresh = model()
    assert CostStore(tmp_path / "new", "ort").resume(LANE, BUNDLE, fresh)
    assert learned.predict_ns(3, 700) == pytest.approx(fresh.predict_ns(3, 700), rel=1e-6)
    assert [(1.1, 1.4, 1.0)] == [tuple(entry.ratios) for entry in kept(tmp_path / "new", "movies", 3, BUNDLE)]


@pytest.mark.parametrize(
    ("lane", "bundle", "engine"),
    [
        pytest.param(Lane("movies", 3, "fp32"), BUNDLE, "ort", id="another variant"),
        pytest.param(LANE, "cd" * 32, "ort", id="another bundle of the same version"),
        pytest.param(LANE, BUNDLE, "ort, 4 threads", id="other threads"),
    ],
)
def test_it_belongs_to_one_variant_bundle_and_engine(
    tmp_path: Path, lane: Lane, bundle: str, engine: str
) -> None:
    """Anything else starts from its own warm-up."""
    CostStore(tmp_path, "ort").save(LANE, BUNDLE, model(1.3).state())
    fresh = model()
    assert not CostStore(tmp_path, engine).resume(lane, bundle, fresh)
    assert model().predict_ns(1, 100) == fresh.predict_ns(1, 100)


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_a_machine_that_has_changed_is_believed(tmp_path: Path, factor: float) -> None:
    """Where the warm-up disagrees by more than a factor of two, the warm-up is right."""
    CostStore(tmp_path, "ort").save(LANE, BUNDLE, model(factor).state())
    assert not CostStore(tmp_path, "ort").resume(LANE, BUNDLE, model())


@pytest.mark.parametrize("text", ["", "{", '{"model": "movies"}', "[]"])
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str) -> None:
    """Nothing that lies there stops a start."""
    store = CostStore(tmp_path, "ort")
    store.save(LANE, BUNDLE, model().state())
    next(tmp_path.iterdir()).write_text(text)
    assert not store.resume(LANE, BUNDLE, model())
