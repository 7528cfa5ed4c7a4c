"""Bytes to a validated request and scores to bytes: nothing is lost, and nothing but a refusal comes out."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measures.order import rank_order
from podium.v1 import ranking_pb2 as pb
from protos.tensor import NUMPY, to_message
from server import reply, wire
from server.config import Limits
from server.domain import Head, Importance, RunStamps
from server.engine.bundle import open_bundle
from server.errors import Kind, Reason, Refused
from server.wire import Decoder
from tests.bundles.tiny import HALVES, STRICT, TINY, WORDS, TinyRanker

_T = TypeVar("_T")
IDENTITY = reply.Identity("tiny", 1, "int8")
TIMINGS = reply.Timings(1, 2, 3, 4, 5, 6)
STAMPS = RunStamps(0, 1, 2, 30, 3)


@pytest.fixture(scope="module")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Decoder]:
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for ranker in (TINY, STRICT, WORDS, HALVES):
        bundle = open_bundle(ranker.write(folder))
        made[ranker.name] = Decoder(bundle.layout, bundle.vocabs, Limits(), ranker.candidates_max)
    return made


def encoded(request: Any, scores: Any) -> pb.RankResponse:
    """The answer to a request that was scored so, read back."""
    body = reply.encode(request, scores, IDENTITY).body
    response: pb.RankResponse = pb.RankResponse.FromString(body + reply.encode_timings(TIMINGS, STAMPS))
    return response


@given(rows=st.integers(1, 60), seed=st.integers(0, 1000), prior=st.booleans())
@pytest.mark.parametrize("ranker", [TINY, WORDS, HALVES], ids=lambda ranker: ranker.name)
def test_every_tensor_arrives(
    decoders: dict[str, Decoder], ranker: TinyRanker, rows: int, seed: int, prior: bool
) -> None:
    """Ids become rows; every other value arrives as sent, bit for bit, in the layout's order."""
    example = ranker.example(rows, seed, prior=prior)
    data = ranker.message(example).SerializeToString()
    request = decoders[ranker.name].decode(wire.parse(data))
    item, features, price, prior_column = request.payload.candidates
    assert rows == request.payload.rows
    assert example.items.tolist() == ranker.item_keys[item].tolist()
    np.testing.assert_array_equal(example.features, features)
    np.testing.assert_array_equal(example.price, price)
    np.testing.assert_array_equal(
        np.full(rows, 0.5) if example.prior is None else example.prior, prior_column
    )
    assert example.history.tolist() == ranker.history_keys[request.payload.context[0]].tolist()
    assert (None, None) == (request.invalid, request.flags)


@given(rows=st.integers(1, 60), seed=st.integers(0, 99), order=st.permutations(["features", "price"]))
def test_tensors_come_in_any_order_and_from_anywhere(
    decoders: dict[str, Decoder], rows: int, seed: int, order: list[str]
) -> None:
    """A column's place among the columns says nothing, and its data may have been taken out beforehand."""
    example = TINY.example(rows, seed)
    message = TINY.message(example)
    columns = {column.name: column for column in message.candidates.columns}
    moved = [columns[name] for name in order]
    lifted = {at: memoryview(b"\0" + column.data)[1:] for at, column in enumerate(moved)}
    del message.candidates.columns[:]
    message.candidates.columns.extend(moved)
    plain = decoders["tiny"].decode(message)
    for column in message.candidates.columns:
        column.data = b""
    for request in (plain, decoders["tiny"].decode(message, lifted)):
        np.testing.assert_array_equal(example.features, request.payload.candidates[1])
        np.testing.assert_array_equal(example.price, request.payload.candidates[2])


def test_what_was_taken_out_is_checked_all_the_same(decoders: dict[str, Decoder]) -> None:
    """Data of the wrong size and a NaN are refused by the tensor's name."""
    message = TINY.message(TINY.example(2))
    refusals = []
    for data in (bytes(23), np.full(6, np.nan, np.float32).tobytes()):
        with pytest.raises(Refused) as caught:
            decoders["tiny"].decode(message, {0: memoryview(data)})
        refusals.append(caught.value.refusal)
    path = "candidates.columns[features]"
    assert [(Reason.INVALID_TENSOR, path), (Reason.NON_FINITE_INPUT, path)] == [
        (refusal.reason, refusal.field) for refusal in refusals
    ]
    assert f"{path} has 23 bytes; shape [2, 3] of float32 takes 24." == refusals[0].message


@pytest.mark.parametrize("rows", [3, 300])
def test_float16_is_taken_as_it_is(decoders: dict[str, Decoder], rows: int) -> None:
    """A view of the bytes that came, cast by nobody; NaN and infinity of either sign are refused by name."""
    example = HALVES.example(rows)
    message = HALVES.message(example)
    data = message.candidates.columns[0].data
    features = decoders["halves"].decode(message, {0: memoryview(data)}).payload.candidates[1]
    assert (np.float16, data) == (features.dtype, features.tobytes())
    assert np.shares_memory(features, np.frombuffer(data, np.uint8))
    for bits in (0x7C00, 0xFC00, 0x7C01, 0xFFFF):
        bad = np.frombuffer(data, np.uint16).copy()
        bad[-1] = bits
        message.candidates.columns[0].data = bad.tobytes()
        with pytest.raises(Refused) as caught:
            decoders["halves"].decode(message)
        assert (Reason.NON_FINITE_INPUT, "candidates.columns[features]") == (
            caught.value.refusal.reason,
            caught.value.refusal.field,
        )


def test_the_options_of_a_request_arrive(decoders: dict[str, Decoder]) -> None:
    """request_id, importance, top_k and timeout_us; microseconds become nanoseconds."""
    message = TINY.message(TINY.example(5))
    message.request_id, message.importance, message.top_k = "r1", pb.IMPORTANCE_CRITICAL, 3
    message.timeout_us = 2**63
    assert Head("r1", Importance.CRITICAL, 5, 2**63 * 1000) == decoders["tiny"].head(message)
    request = decoders["tiny"].decode(message)
    assert ("r1", 3) == (request.request_id, request.top_k)


@pytest.mark.parametrize(("top_k", "expected"), [(0, 5), (1, 1), (5, 5), (9, 5), (2**32 - 1, 5)])
def test_top_k_is_at_most_all(decoders: dict[str, Decoder], top_k: int, expected: int) -> None:
    """0 means all; more than there are means all."""
    message = TINY.message(TINY.example(5))
    message.top_k = top_k
    request = decoders["tiny"].decode(message)
    assert expected == len(encoded(request, np.arange(5, dtype=np.float32)).order)


def _or_refusal(act: Callable[[], _T]) -> _T | Kind:
    """What the act returns, or the kind of its refusal; any other exception is the test's failure."""
    try:
        return act()
    except Refused as refused:
        return refused.refusal.reason.kind


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_refusal(data: bytes) -> None:
    """`parse` raises nothing but Refused, of kind INVALID."""
    message = _or_refusal(lambda: wire.parse(data))
    assert isinstance(message, pb.RankRequest) or Kind.INVALID is message


@st.composite
def tensors(draw: st.DrawFn) -> pb.Tensor:
    """A tensor of a plausible name: sound in itself, or with any shape, dtype and data."""
    name = draw(st.sampled_from(["history", "features", "price", "item", ""]))
    if draw(st.booleans()):
        shape = tuple(draw(st.lists(st.integers(0, 6), max_size=3)))
        dtype = NUMPY[draw(st.sampled_from(["int64", "float32", "float16", "bool"]))]
        return to_message(name, np.zeros(shape, dtype))
    sizes = draw(st.lists(st.integers(-2, 6) | st.just(2**62), max_size=4))
    return pb.Tensor(name=name, dtype=draw(st.integers(0, 9)), shape=sizes, data=draw(st.binary(max_size=40)))


@st.composite
def messages(draw: st.DrawFn) -> pb.RankRequest:
    """A good request of which some parts are replaced."""
    ranker = draw(st.sampled_from([TINY, STRICT, WORDS, HALVES]))
    message = ranker.message(ranker.example(draw(st.integers(1, 4))))
    message.model = draw(st.sampled_from(["tiny", "strict", "words", "halves"]))
    candidates = message.candidates
    for change in draw(st.lists(st.integers(0, 8), max_size=3)):
        if change == 0:
            candidates.count = draw(st.integers(0, 6) | st.just(2**32 - 1))
        elif change == 1:
            candidates.int_ids = draw(st.binary(max_size=48))
        elif change == 2:
            candidates.string_ids.append(draw(st.text(max_size=12)))
        elif change == 3:
            candidates.prior_scores = draw(st.binary(max_size=24))
        elif change == 4:
            candidates.columns.append(draw(tensors()))
        elif change == 5:
            message.context.append(draw(tensors()))
        elif change == 6:
            candidates.columns[draw(st.integers(0, 1))].CopyFrom(draw(tensors()))
        elif change == 7:
            message.context[0].CopyFrom(draw(tensors()))
        else:
            message.importance, message.floor = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    return message


@given(message=messages())
def test_any_message_is_a_request_or_a_refusal(decoders: dict[str, Decoder], message: pb.RankRequest) -> None:
    """`decode` raises nothing but Refused, of kind INVALID; what it lets through has N rows everywhere."""
    request = _or_refusal(lambda: decoders[message.model].decode(message))
    if isinstance(request, Kind):
        assert Kind.INVALID is request
    else:
        rows = request.payload.rows
        assert [rows] * 4 == [len(array) for array in request.payload.candidates]


@given(rows=st.integers(1, 30), seed=st.integers(0, 1000), bad=st.sets(st.integers(0, 29)))
def test_scores_come_back_in_candidate_order(
    decoders: dict[str, Decoder], rows: int, seed: int, bad: set[int]
) -> None:
    """scores[i] is candidate i's, NaN where it is invalid; `order` is the one rule; coverage adds up."""
    example = TINY.example(rows, seed)
    invalid = np.isin(np.arange(rows), list(bad))
    example.price[invalid] = np.inf
    request = decoders["tiny"].decode(TINY.message(example))
    scores = np.random.default_rng(seed).integers(0, 5, rows).astype(np.float32)
    response = encoded(request, scores)
    expected = np.where(invalid, np.float32(np.nan), scores)
    np.testing.assert_array_equal(expected, np.frombuffer(response.scores, "<f4"))
    assert rank_order(expected, example.prior).tolist() == list(response.order)
    bad_count = int(invalid.sum())
    assert pb.Coverage(candidates=rows, scored=rows - bad_count, invalid=bad_count) == response.coverage
    marked = [pb.OUTCOME_INVALID if one else pb.OUTCOME_SCORED for one in invalid] if bad_count else []
    assert marked == list(response.outcomes)


def test_the_answer_names_who_answered_and_how_long_it_took(decoders: dict[str, Decoder]) -> None:
    """Identity, step, stage times and the size of the run, in their own fields."""
    response = encoded(decoders["tiny"].decode(TINY.message(TINY.example(2))), np.ones(2, np.float32))
    assert ("tiny", 1, "int8", pb.STEP_FULL) == (
        response.model,
        response.version,
        response.variant,
        response.step,
    )
    timings = pb.Timings(
        decode_us=1, queue_us=2, form_us=3, run_us=4, split_us=5, total_us=6, batch_rows=30, batch_requests=3
    )
    assert timings == response.timings


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_our_failure(decoders: dict[str, Decoder], value: float) -> None:
    """A valid candidate must have a finite score: an order with NaN in it would be a guess."""
    request = decoders["tiny"].decode(TINY.message(TINY.example(3)))
    with pytest.raises(Refused) as caught:
        encoded(request, np.array([1.0, value, 2.0], np.float32))
    assert Reason.NON_FINITE_OUTPUT is caught.value.refusal.reason


def test_heads_are_combined_by_weight() -> None:
    """The score is the weighted sum of the heads; a single head of weight 1 is passed through."""
    click, watch = np.array([1.0, 2.0], np.float32), np.array([10.0, 20.0], np.float32)
    assert [6.0, 12.0] == reply.combine({"c": click, "w": watch}, {"c": 1.0, "w": 0.5}).tolist()
    assert [0.5, 1.0] == reply.combine({"c": click}, {"c": 0.5}).tolist()
    assert click is reply.combine({"c": click}, {"c": 1.0})


def test_a_refusal_never_quotes_what_was_sent(decoders: dict[str, Decoder]) -> None:
    """Neither names nor values of the caller reach a refusal's text."""
    message = TINY.message(TINY.example(2))
    message.context.append(pb.Tensor(name="s3cret"))
    with pytest.raises(Refused) as caught:
        decoders["tiny"].decode(message)
    assert "s3cret" not in caught.value.refusal.message + caught.value.refusal.field


def test_a_refusal_fits_into_trailers(decoders: dict[str, Decoder]) -> None:
    """A message is a sentence even where what was sent has a million parts: trailers hold 8 KiB."""
    message = TINY.message(TINY.example(2))
    message.context[0].shape.extend([2**62] * 100_000)
    with pytest.raises(Refused) as caught:
        decoders["tiny"].decode(message)
    assert len(caught.value.refusal.message) < 500


def test_string_ids_take_memory_by_the_vocabulary_not_by_the_caller(tmp_path: Path) -> None:
    """One long id must not widen an array of thousands: the longest key decides."""
    ranker = TinyRanker(name="words", key="string", candidates_max=4096)
    bundle = open_bundle(ranker.write(tmp_path))
    decoder = Decoder(bundle.layout, bundle.vocabs, Limits(), 4096)
    message = ranker.message(ranker.example(4096))
    message.candidates.string_ids[0] = "x" * 8192
    tracemalloc.start()
    try:
        request = decoder.decode(message)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert request.flags is not None
    assert 1 == np.count_nonzero(request.flags)
    assert peak_bytes < 4096 * 8192
