"""What a request wants of the heads is checked by name, and never changes what others get."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.v1 import ranking_pb2 as pb
from server import reply
from server.errors import Reason, Refused
from server.heads import HeadFields, tensors

BUNDLE = {"click": 1.0, "like": 0.5, "hide": -2.0}
FIELDS = HeadFields(BUNDLE)
FINITE = st.floats(-1e6, 1e6, width=32).filter(lambda weight: weight != 0.0)


@given(asked=st.dictionaries(st.sampled_from(list(BUNDLE)), FINITE))
def test_named_heads_get_the_weight_and_the_others_keep_theirs(asked: dict[str, float]) -> None:
    """In the bundle's order, so that the sum is the same sum; nothing asked is nothing changed."""
    message = pb.RankRequest(head_weights=asked)
    weights = FIELDS.weights(message.head_weights)
    if not asked:
        assert weights is None
        return
    assert weights is not None
    assert list(BUNDLE) == list(weights)
    assert BUNDLE | asked == dict(weights)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"other": 1.0}, "head_weights"),
        ({"like": float("nan")}, "head_weights[like]"),
        ({"like": float("inf")}, "head_weights[like]"),
        ({"click": 0.0, "like": -0.0, "hide": 0.0}, "head_weights"),
    ],
)
def test_a_weight_that_cannot_be_used_is_refused(asked: dict[str, float], field: str) -> None:
    """An unknown head, no number, or nothing left: INVALID_FIELD with the field's path."""
    with pytest.raises(Refused) as caught:
        FIELDS.weights(asked)
    refusal = caught.value.refusal
    assert (Reason.INVALID_FIELD, field) == (refusal.reason, refusal.field)


@pytest.mark.parametrize("asked", [["other"], ["like", "like"], ["x"] * 100_000])
def test_a_head_that_cannot_be_returned_is_refused(asked: list[str]) -> None:
    """Unknown or named twice: INVALID_FIELD, in a sentence that fits into trailers."""
    with pytest.raises(Refused) as caught:
        FIELDS.returned(asked)
    refusal = caught.value.refusal
    assert (Reason.INVALID_FIELD, "return_heads") == (refusal.reason, refusal.field)
    assert len(refusal.message) < 500


def test_a_refusal_lists_a_few_heads_of_many() -> None:
    """The caller learns what there is; a model with hundreds of heads does not fill the trailers."""
    with pytest.raises(Refused) as caught:
        HeadFields({f"head-{at:03}": 1.0 for at in range(300)}).returned(["other"])
    assert caught.value.refusal.message.endswith("head-007 and 292 more.")


def test_weights_too_large_are_the_caller_s_and_nan_is_the_model_s() -> None:
    """A finite head that overflows is INVALID_FIELD; one that is no number is left to NON_FINITE_OUTPUT."""
    heads = {"a": np.array([1.0, 3.0], np.float32), "b": np.array([1.0, 1.0], np.float32)}
    with pytest.raises(Refused) as caught:
        reply.combine_as_asked(heads, {"a": 2e38, "b": 0.0})
    assert (Reason.INVALID_FIELD, "head_weights") == (caught.value.refusal.reason, caught.value.refusal.field)
    heads["a"][1] = np.nan
    assert [2e38, False] == [
        pytest.approx(reply.combine_as_asked(heads, {"a": 2e38, "b": 0.0})[0]),
        bool(np.isfinite(reply.combine_as_asked(heads, {"a": 2e38, "b": 0.0})[1])),
    ]


def test_heads_are_float32_tensors_with_nan_where_nothing_was_scored() -> None:
    """Whatever width the graph gives; in the order asked for."""
    heads = {"a": np.array([1, 2, 3], np.float16), "b": np.array([4, 5, 6], np.float32)}
    read = [pb.Tensor.FromString(data) for data in tensors(heads, ("b", "a"), np.array([False, True, False]))]
    assert [("b", pb.DTYPE_FLOAT32, [3]), ("a", pb.DTYPE_FLOAT32, [3])] == [
        (tensor.name, tensor.dtype, list(tensor.shape)) for tensor in read
    ]
    np.testing.assert_array_equal([4, np.nan, 6], np.frombuffer(read[0].data, "<f4"))
    np.testing.assert_array_equal([1, np.nan, 3], np.frombuffer(read[1].data, "<f4"))
