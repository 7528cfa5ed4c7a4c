"""Columns that are moved, levelled and rounded: the arithmetic of what calibration keeps, and less error."""

from __future__ import annotations

import numpy as np
import pytest

from export.calibrate import quantize_weight, to_uint8_parameters
from export.spec import Array
from export.transformer.levelling import factors_of, foreseen_error
from export.transformer.ranges import Columns, levelled, moved, without
from export.transformer.rounding import round_weight
from tests.unit.export.transformer.cases import of

ROWS, K, N = 4_000, 24, 16


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def unlike(rng: np.random.Generator) -> Array:
    """Columns that vary together, of unlike size, about unlike middles; float32 [ROWS, K]."""
    mixed = rng.normal(size=(ROWS, 6)) @ rng.normal(size=(6, K)) + 0.3 * rng.normal(size=(ROWS, K))
    return (mixed * np.logspace(-1, 1, K) + rng.normal(size=K) * 3).astype(np.float32)


def product_error(x: Array, weight: Array, factors: Array, codes: tuple[Array, Array] | None = None) -> float:
    """Mean square error of the int8 product, summed over its columns."""
    levelled_x = x / factors
    scale, zero = to_uint8_parameters(float(levelled_x.min()), float(levelled_x.max()))
    stored = (np.clip(np.rint(levelled_x / scale) + zero, 0, 255) - zero) * scale
    rounded, scales = codes or quantize_weight(weight * factors[:, None])
    return float(np.square(stored @ (rounded * scales) - x @ weight).mean(axis=0).sum())


def equal(a: Columns, b: Columns) -> None:
    for name in ("low", "high", "sums", "squares", "products"):
        assert np.allclose(getattr(a, name), getattr(b, name), rtol=1e-3, atol=1e-3 * a.squares.max()), name
    assert a.rows == b.rows


def test_what_is_kept_follows_the_rows(rng: np.random.Generator) -> None:
    """Moving, levelling and dropping columns is the same as having seen such rows."""
    x = unlike(rng)
    centre, factors = rng.normal(size=K).astype(np.float32), np.exp(rng.normal(size=K)).astype(np.float32)
    dropped = x.copy()
    dropped[:, [2, 5]] = 0.0

    equal(of(x - centre), moved(of(x), centre))
    equal(of(x / factors), levelled(of(x), factors))
    equal(of(dropped), without(of(x), [2, 5]))


def test_the_foreseen_error_is_the_error(rng: np.random.Generator) -> None:
    """Within a third, with and without levelling: rounding errors are nearly independent."""
    x, weight = unlike(rng), rng.normal(size=(K, N)).astype(np.float32)
    for factors in (np.ones(K, np.float32), factors_of(of(x), [weight])):
        assert factors is not None
        assert foreseen_error(of(x), [weight], factors) == pytest.approx(
            product_error(x, weight, factors), rel=0.33
        )


def test_levelling_makes_the_error_less(rng: np.random.Generator) -> None:
    """By half at least where columns are a hundred times apart."""
    x, weight = unlike(rng), rng.normal(size=(K, N)).astype(np.float32)
    factors = factors_of(of(x), [weight])

    assert factors is not None
    assert product_error(x, weight, factors) < 0.5 * product_error(x, weight, np.ones(K, np.float32))


def test_a_column_that_is_never_used_has_factor_one(rng: np.random.Generator) -> None:
    """Neither a dead input nor a row of zeros in the weight gets anywhere near a division by 0."""
    x, weight = unlike(rng), rng.normal(size=(K, N)).astype(np.float32)
    x[:, 3], weight[4] = 0.0, 0.0
    factors = factors_of(of(x), [weight])

    assert factors is not None
    assert np.isfinite(factors).all()
    assert [1.0, 1.0] == factors[[3, 4]].tolist()
    assert factors_of(of(np.zeros((5, K), np.float32)), [weight]) is None


def test_rounding_for_the_inputs_halves_the_error_of_the_weight(rng: np.random.Generator) -> None:
    """On inputs not seen before; with scales and codes in int8's range."""
    both = unlike(rng)
    x, unseen = both[: ROWS // 2], both[ROWS // 2 :]
    weight = rng.normal(size=(K, N)).astype(np.float32)
    codes, scales = round_weight(weight, of(x).products, len(x), scale=1e-3)
    nearest, _ = quantize_weight(weight)

    def off(rounded: Array) -> float:
        return float(np.square(unseen @ (rounded * scales - weight)).mean())

    assert np.int8 == codes.dtype
    assert np.abs(codes.astype(int)).max() <= 127
    assert off(codes) < 0.5 * off(nearest)


def test_inputs_that_do_not_vary_together_are_rounded_to_the_nearest(rng: np.random.Generator) -> None:
    """There is nothing to make up with; and without any rows nothing is known."""
    weight = rng.normal(size=(K, N)).astype(np.float32)
    nearest, _ = quantize_weight(weight)

    assert np.array_equal(nearest, round_weight(weight, np.eye(K), 1, 0.1)[0])
    assert np.array_equal(nearest, round_weight(weight, np.zeros((K, K)), 0, 0.1)[0])
