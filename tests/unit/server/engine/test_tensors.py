"""Packing and splitting: every request gets back what it would have got alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.manifest import Axis, Combine, Input, Manifest
from server.domain import Payload
from server.engine.layout import Layout
from server.engine.tensors import Packer, split
from tests.bundles.tiny import TINY

ROWS_MAX = 32
"""Capacity of the packer's buffers; batches of one large request go beyond it."""
PAD = -1


def manifest() -> Manifest:
    """The tiny ranker's manifest with a two-axis ragged context, a scalar and an accepted dtype besides."""
    made = TINY.manifest()
    made.axes["K"] = Axis(max=3)
    made.inputs = [
        Input(name="grid", role="context", dtype="int64", shape=["R", "L", "K"], pad_value=PAD),
        Input(name="grid_length", role="context_length", of="grid", dtype="int64", shape=["R"]),
        Input(name="user", role="context", dtype="float32", shape=["R"], accepts=["float16"]),
        Input(name="features", role="candidate", dtype="float32", shape=["N", 2], accepts=["float16"]),
        Input(name="item", role="candidate_id", dtype="int32", shape=["N"]),
        Input(name="row_to_context", role="row_to_context", dtype="int64", shape=["N"]),
    ]
    made.combine = Combine(weights={"score": 1.0})
    return made


LAYOUT = Layout.of(manifest())


@st.composite
def payloads(draw: st.DrawFn) -> Payload:
    """One request: a ragged grid, a scalar in either dtype, 1 to 40 candidates."""
    rows = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grid = rng.integers(0, 99, (draw(st.integers(0, 4)), draw(st.integers(0, 3))))
    user = np.array(rng.integers(0, 9), draw(st.sampled_from([np.float32, np.float16])))
    features = rng.integers(0, 99, (rows, 2)).astype(draw(st.sampled_from([np.float32, np.float16])))
    return Payload((grid, user), (features, rng.integers(0, 99, rows)), rows)


@given(batches=st.lists(st.lists(payloads(), min_size=1, max_size=4), min_size=1, max_size=3))
def test_a_batch_holds_every_request_in_its_place(batches: list[list[Payload]]) -> None:
    """Rows in order, each pointing at its context, contexts padded on the right, all in the graph's dtypes.

    One packer packs several batches of any size, larger than its buffers as well: nothing shines through.
    """
    packer = Packer(LAYOUT, ROWS_MAX)
    for batch in batches:
        _check(packer, batch)


def _check(packer: Packer, batch: Sequence[Payload]) -> None:
    packed = packer.pack(batch)
    feeds = packed.feeds
    assert {
        "grid": (np.int64, (len(batch), 4, 3)),
        "grid_length": (np.int64, (len(batch),)),
        "user": (np.float32, (len(batch),)),
        "features": (np.float32, (packed.rows, 2)),
        "item": (np.int32, (packed.rows,)),
        "row_to_context": (np.int64, (packed.rows,)),
    } == {name: (array.dtype, array.shape) for name, array in feeds.items()}
    at = 0
    for row, payload in enumerate(batch):
        grid, user = payload.context
        length, width = grid.shape
        assert length == feeds["grid_length"][row]
        np.testing.assert_array_equal(grid, feeds["grid"][row, :length, :width])
        assert grid.size == np.count_nonzero(feeds["grid"][row] != PAD)
        assert user == feeds["user"][row]
        mine = slice(at, at + payload.rows)
        np.testing.assert_array_equal(payload.candidates[0], feeds["features"][mine])
        np.testing.assert_array_equal(payload.candidates[1], feeds["item"][mine])
        assert {row} == set(feeds["row_to_context"][mine].tolist())
        at += payload.rows
    assert at == packed.rows


@given(rows=st.lists(st.integers(1, 50), min_size=1, max_size=8), heads=st.integers(1, 3))
def test_split_gives_each_request_its_own(rows: list[int], heads: int) -> None:
    """Every head is cut at the requests' borders; put together again it is whole."""
    scores = {f"h{at}": np.arange(sum(rows), dtype=np.float32) + 1000 * at for at in range(heads)}
    parts = split(scores, rows)
    assert rows == [len(part["h0"]) for part in parts]
    for head, whole in scores.items():
        np.testing.assert_array_equal(whole, np.concatenate([part[head] for part in parts]))


@pytest.mark.parametrize("rows", [1, ROWS_MAX, ROWS_MAX + 1])
def test_a_lone_request_is_not_copied(rows: int) -> None:
    """What has the graph's dtype and shape goes to the graph as it came off the wire."""
    features, grid = np.ones((rows, 2), np.float32), np.zeros((4, 3), np.int64)
    user = np.array(1.0, np.float32)
    payload = Payload((grid, user), (features, np.zeros(rows, np.int64)), rows)
    feeds = Packer(LAYOUT, ROWS_MAX).pack([payload]).feeds
    assert feeds["features"] is features
    assert np.shares_memory(grid, feeds["grid"])
    assert [4] == feeds["grid_length"].tolist()
    assert [0] * rows == feeds["row_to_context"].tolist()


def test_several_requests_are_gathered_into_the_same_memory_every_time() -> None:
    """No fresh array per run for what is large: its pages would have to be faulted in."""
    packer = Packer(LAYOUT, ROWS_MAX)
    payload = Payload(
        (np.zeros((2, 3), np.int64), np.array(1.0, np.float32)),
        (np.ones((3, 2), np.float32), np.zeros(3, np.int64)),
        3,
    )
    first = packer.pack([payload] * 3).feeds
    second = packer.pack([payload] * 2).feeds
    for name in ("grid", "user", "features", "item"):
        assert np.shares_memory(first[name], second[name]), name


def test_a_graph_without_context_is_fed_without_it() -> None:
    """A bundle that has no row_to_context input is not given one."""
    made = manifest()
    made.inputs = made.inputs[3:5]
    payload = Payload((), (np.ones((2, 2), np.float32), np.zeros(2, np.int64)), 2)
    assert {"features", "item"} == Packer(Layout.of(made), 8).pack([payload, payload]).feeds.keys()


def grid_manifest() -> Manifest:
    """The same as a grid."""
    made = manifest()
    made.scoring.layout = "grid"
    made.axes["C"] = Axis(max=300)
    made.inputs += [
        Input(name="at", role="grid_index", dtype="int64", shape=["R", "C"]),
        Input(name="place", role="grid_position", dtype="int64", shape=["N"]),
    ]
    return made


@given(batches=st.lists(st.lists(payloads(), min_size=1, max_size=4), min_size=1, max_size=3))
def test_a_grid_shows_no_request_anothers_candidates(batches: list[list[Payload]]) -> None:
    """In row r stand the candidates whose context is r, all of them, and nobody else; positions lead back."""
    packer = Packer(Layout.of(grid_manifest()), ROWS_MAX)
    for batch in batches:
        feeds = packer.pack(batch).feeds
        index, place, owner = feeds["at"], feeds["place"], feeds["row_to_context"]
        assert (np.int64, np.int64) == (index.dtype, place.dtype)
        assert (len(batch), max(one.rows for one in batch)) == index.shape
        for row in range(len(batch)):
            assert np.flatnonzero(owner == row).tolist() == index[row][index[row] >= 0].tolist()
        assert list(range(len(owner))) == index.ravel()[place].tolist()


def test_a_flat_run_is_one_batch_and_a_grid_as_many_as_its_sizes_need() -> None:
    """Sizes matter to a grid alone."""
    counts = [500, 3, 4]
    assert [[0, 1, 2]] == [list(group) for group in Packer(LAYOUT, ROWS_MAX).groups(counts)]
    assert [[0], [1, 2]] == Packer(Layout.of(grid_manifest()), ROWS_MAX).groups(counts)
