"""Caller's requests to feeds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from export.codec import Codec
from export.spec import ExampleRequest, ExportSpec, VocabSpec, candidate_id, context, prior
from tests.export_specs import tiny


def one_request() -> ExampleRequest:
    return ExampleRequest(
        context={"history": tiny.ITEMS[[5, 9]], "query": np.ones((1, 4), np.float32)},
        candidates={"item": tiny.ITEMS[[3, 1]], "features": np.zeros((2, 3), np.float32)},
    )


def test_ids_become_rows_and_ragged_axes_are_padded_on_the_right(codec: Codec) -> None:
    """Row numbers of the vocabulary, zeros behind them, and the true length beside."""
    encoded = codec.encode(one_request())

    assert [5, 9] + [0] * 8 == encoded.context["history"].tolist()
    assert encoded.context["history_length"] == 2
    assert encoded.context["query"].shape == (tiny.QUERY_MAX, 4)
    assert [3, 1] == encoded.candidates["item"].tolist()


def test_an_unknown_id_takes_the_unknown_row(codec: Codec) -> None:
    """An id that is not in the vocabulary, and the placeholder at the unknown row itself, are row 0."""
    request = dataclasses.replace(
        one_request(), context={"history": np.array([-1, tiny.ITEMS[0]]), "query": np.ones((1, 4))}
    )

    assert [0, 0] == codec.encode(request).context["history"][:2].tolist()


def test_a_vocabulary_may_refuse_unknown_ids(spec: ExportSpec) -> None:
    """With unknown="invalid" such a request is an error of the spec's author."""
    strict = dataclasses.replace(spec, vocabs={"item": VocabSpec(keys=tiny.ITEMS, unknown="invalid")})
    request = dataclasses.replace(
        one_request(), candidates={"item": np.array([-1]), "features": np.zeros((1, 3))}
    )

    with pytest.raises(ValueError) as error:
        Codec(strict).encode(request)

    assert "'item'" in str(error.value)


def test_string_ids_are_looked_up(spec: ExportSpec) -> None:
    """A vocabulary of strings works for candidates."""
    keys = np.array(["", "b", "a"])
    text = dataclasses.replace(
        spec, inputs=[candidate_id("item", vocab="v")], vocabs={"v": VocabSpec(keys=keys)}
    )
    request = ExampleRequest(context={}, candidates={"item": np.array(["a", "zzz", "b"])})

    assert [2, 0, 1] == Codec(text).encode(request).candidates["item"].tolist()


def test_an_absent_prior_takes_its_stand_in(codec: Codec) -> None:
    """`when_absent` fills the prior of a request that has none."""
    assert [0.0, 0.0] == codec.encode(one_request()).candidates["prior"].tolist()


def test_feeds_lay_requests_side_by_side(codec: Codec) -> None:
    """Contexts are stacked, candidates concatenated, and every candidate points at its context."""
    first = codec.encode(one_request())
    feeds = codec.feeds([first, first.take(np.array([1]))])

    assert feeds["history"].shape == (2, tiny.HISTORY_MAX)
    assert [3, 1, 1] == feeds["item"].tolist()
    assert [0, 0, 1] == feeds["row_to_context"].tolist()
    assert list(feeds) == list(codec.input_names)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"context": {"query": np.ones((1, 4))}}, "'history'"),
        ({"context": {"history": np.arange(11), "query": np.ones((1, 4))}}, "(11,)"),
        ({"context": {"history": np.arange(2), "query": np.full((1, 4), np.nan)}}, "finite"),
        ({"candidates": {"item": np.arange(2), "features": np.zeros((2, 4))}}, "'features'"),
        ({"candidates": {"item": np.arange(2), "features": np.zeros((3, 3))}}, "[2, 3]"),
    ],
)
def test_a_request_that_does_not_fit_is_named(
    codec: Codec, change: dict[str, dict[str, np.ndarray]], said: str
) -> None:
    """Missing, overlong, not finite, of a wrong width, of unequal lengths: each sentence says what."""
    with pytest.raises(ValueError) as error:
        codec.encode(dataclasses.replace(one_request(), **change))

    assert said in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vocabs": {"item": VocabSpec(keys=np.array([1, 2, 2]))}}, "repeats"),
        ({"vocabs": {"item": VocabSpec(keys=np.array(["", "a"]))}}, "string"),
        ({"heads": {"item": 1.0}}, "'item'"),
        ({"inputs": [*tiny.spec().inputs, candidate_id("item2", vocab="item")]}, "candidate_id"),
        ({"inputs": [*tiny.spec().inputs, prior("prior2", when_absent=0.0)]}, "prior_score"),
        ({"inputs": [*tiny.spec().inputs, context("row_to_context", "int64")]}, "'row_to_context'"),
    ],
)
def test_inputs_that_the_wire_cannot_carry_are_refused(
    spec: ExportSpec, change: dict[str, object], said: str
) -> None:
    """Repeated ids, string ids in a context, names taken, two inputs of a role that has one field."""
    with pytest.raises(ValueError) as error:
        Codec(dataclasses.replace(spec, **change))

    assert said in str(error.value)
