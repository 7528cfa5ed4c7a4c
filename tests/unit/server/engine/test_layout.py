"""Which input plays which role, and which row an id has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.manifest import Input, Manifest
from server.engine.layout import Layout, UnsupportedBundle, Vocabulary
from tests.bundles.tiny import TINY, TinyRanker

ANY_IDS = st.integers(-(2**63), 2**63 - 1)
KEYS = st.lists(ANY_IDS, min_size=2, max_size=30, unique=True)
BASES = st.sampled_from([0, 1, -30, 1000, 2**62, -(2**62), 2**63 - 61, -(2**63)])


@st.composite
def close_keys(draw: st.DrawFn) -> list[int]:
    """Keys close together, anywhere between the smallest and the largest integer."""
    base = draw(BASES)
    return [base + at for at in draw(st.lists(st.integers(0, 60), min_size=2, max_size=30, unique=True))]


WORDS = st.lists(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    min_size=2,
    max_size=30,
    unique=True,
)


@given(
    keys=KEYS | close_keys() | WORDS,
    unknown=st.integers(0, 29),
    asked=st.lists(st.integers(0, 29), max_size=20),
)
def test_known_ids_find_their_row(keys: list[Any], unknown: int, asked: list[int]) -> None:
    """Entry i of the table is the id of row i, but for the unknown row, whose entry is no id."""
    unknown_row = unknown % len(keys)
    table = np.array(keys)
    vocabulary = Vocabulary.of(table, unknown_row=unknown_row, refuse_unknown=False)
    wanted = np.array([row % len(keys) for row in asked], np.int64)
    rows, mask = vocabulary.lookup(table[wanted])
    assert wanted.tolist() == rows.tolist()
    expected = wanted == unknown_row
    assert expected.tolist() == ([False] * len(wanted) if mask is None else mask.tolist())


@given(keys=KEYS | close_keys(), unknown=st.integers(0, 29), data=st.data())
def test_unknown_ids_take_the_unknown_row(keys: list[int], unknown: int, data: st.DataObject) -> None:
    """Wherever they fall between the keys, and beyond either end."""
    near = BASES.flatmap(lambda base: st.integers(base - 130, base + 130))
    ids = data.draw(
        st.lists(ANY_IDS | near.filter(lambda one: -(2**63) <= one < 2**63), min_size=1, max_size=9)
    )
    unknown_row = unknown % len(keys)
    vocabulary = Vocabulary.of(np.array(keys), unknown_row=unknown_row, refuse_unknown=False)
    rows, mask = vocabulary.lookup(np.array(ids))
    row_of = {key: row for row, key in enumerate(keys) if row != unknown_row}
    expected = [row_of.get(one, unknown_row) for one in ids]
    assert expected == rows.tolist()
    assert [one not in row_of for one in ids] == ([False] * len(ids) if mask is None else mask.tolist())


@pytest.mark.parametrize(
    ("keys", "indexed"),
    [
        (range(-5, 1000), True),
        (range(2**62 - 9, 2**62), True),
        (range(0, 40_000, 10), False),
        (range(0, 4000, 10), True),
        ([7, -(2**63), 1 - 2**63], False),
        ([5, 7, 2**62], False),
        (["a", "b"], False),
    ],
)
def test_ids_close_together_index_a_table(keys: Any, indexed: bool) -> None:
    """Anything else is searched for, and never costs memory by its size."""
    vocabulary = Vocabulary.of(np.array(list(keys)), unknown_row=0, refuse_unknown=False)
    assert indexed is (vocabulary.table is not None)


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "i4", "i8"])
@pytest.mark.parametrize("first", [0, -100])
def test_ids_of_any_integer_dtype_are_looked_up(dtype: str, first: int) -> None:
    """An input of another dtype than the keys' finds what equals them, wherever the table begins."""
    vocabulary = Vocabulary.of(np.array([9, 1, 0, first + 3]), unknown_row=0, refuse_unknown=False)
    assert [2, 1, 1] == vocabulary.lookup(np.array([0, 1, 1], dtype))[0].tolist()


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 2), (0, 3)])
def test_rows_have_the_shape_of_the_ids(shape: tuple[int, ...]) -> None:
    """A scalar context is looked up as well as a grid or nothing, known or not."""
    vocabulary = Vocabulary.of(np.array([10, 20, 30]), unknown_row=0, refuse_unknown=False)
    rows, mask = vocabulary.lookup(np.full(shape, 30))
    assert (shape, True, None) == (rows.shape, bool((rows == 2).all()), mask)
    rows, mask = vocabulary.lookup(np.full(shape, 99))
    assert (shape, True) == (rows.shape, bool((rows == 0).all()))
    assert shape == (() if mask is None else mask.shape) or not np.prod(shape)


def test_roles_are_sorted_out() -> None:
    """Contexts with their lengths, candidates in manifest order, the gather, the heads."""
    layout = Layout.of(TINY.manifest())
    assert (["history"], {"history": "history_length"}, "row_to_context", {"score": "score"}) == (
        [entry.name for entry in layout.context],
        layout.lengths,
        layout.row_to_context,
        layout.heads,
    )
    assert ["item", "features", "price", "prior"] == [entry.name for entry in layout.candidates]
    assert (4,) == layout.padded_shape(layout.context[0])


def test_an_unknown_requirement_is_named() -> None:
    """What an older server does not know it must not serve."""
    with pytest.raises(UnsupportedBundle, match="'telepathy'"):
        Layout.of(TinyRanker(requires=["vocab", "telepathy"]).manifest())


@pytest.mark.parametrize("role", ["grid_index", "grid_position", "tokens", "token_mask", "candidate_length"])
def test_a_role_without_its_feature_is_refused(role: Any) -> None:
    """A role of the contract that this server cannot feed yet is named."""
    manifest = TINY.manifest()
    manifest.inputs.append(Input(name="extra", role=role, dtype="int64", shape=["N"]))
    with pytest.raises(UnsupportedBundle, match=f"'extra': role '{role}'"):
        Layout.of(manifest)


def grid_of(*roles: Any) -> Manifest:
    """The tiny manifest as a grid with inputs of these roles."""
    manifest = TINY.manifest()
    manifest.scoring.layout = "grid"
    for role in roles:
        shape: list[int | str] = ["R", "C"] if role == "grid_index" else ["N"]
        manifest.inputs.append(Input(name=role, role=role, dtype="int64", shape=shape))
    return manifest


def test_a_grid_is_fed_its_index_and_its_positions() -> None:
    """Both are inputs that the server computes, like the gather's."""
    layout = Layout.of(grid_of("grid_index", "grid_position"))
    assert ("grid_index", "grid_position") == layout.grid
    assert {"history", "row_to_context", "grid_index", "grid_position"} < layout.fed_names
    assert Layout.of(TINY.manifest()).grid is None


@pytest.mark.parametrize("missing", ["grid_index", "grid_position"])
def test_a_grid_without_one_of_them_is_refused(missing: Any) -> None:
    """By the role that is missing."""
    with pytest.raises(UnsupportedBundle, match=f"needs an input of role '{missing}'"):
        Layout.of(grid_of(*({"grid_index", "grid_position"} - {missing})))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("layout", "flat", "needs scoring.layout 'grid'"),
        ("chunkable", True, "can be neither chunkable nor cacheable"),
        ("cacheable", True, "can be neither chunkable nor cacheable"),
    ],
)
def test_a_setwise_bundle_that_claims_more_is_refused(key: str, value: Any, said: str) -> None:
    """Its scores depend on all candidates of a request: it cannot be split, cached, or flat."""
    manifest = grid_of("grid_index", "grid_position")
    manifest.scoring.kind = "setwise"
    manifest.inputs[4].non_finite = "invalid_request"
    assert Layout.of(manifest).grid is not None
    setattr(manifest.scoring, key, value)
    with pytest.raises(UnsupportedBundle, match=said):
        Layout.of(manifest)


def test_a_setwise_bundle_cannot_leave_one_candidate_unscored() -> None:
    """The others would be scored by what was wrong with it."""
    manifest = grid_of("grid_index", "grid_position")
    manifest.scoring.kind = "setwise"
    with pytest.raises(UnsupportedBundle, match="'price': non_finite 'invalid_candidate'"):
        Layout.of(manifest)
