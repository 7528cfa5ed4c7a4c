"""A length axis in a spec: what it must be, and how requests are laid out along it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from export.codec import Codec
from export.spec import ExampleRequest, ExportSpec, InputSpec, candidate, context

TOKENS = np.array([[7, 7, 0], [7, 0, 0]])
INPUTS = (candidate("tokens", "int64", "S"), candidate("size", "int64"), candidate("weight", "float32"))


def _request(tokens: Any = TOKENS) -> ExampleRequest:
    count = len(tokens)
    columns = {"tokens": tokens, "size": np.full(count, 3), "weight": np.ones(count)}
    return ExampleRequest(context={}, candidates=columns)


def _spec(inputs: Sequence[InputSpec] = INPUTS, **changes: Any) -> ExportSpec:
    fields: dict[str, Any] = {
        "axes": {"S": 6},
        "lengths": {"S": "tokens"},
        "requests": [_request()],
        "calibration": [_request()],
    }
    return ExportSpec(
        name="m", context=dict, score=lambda state, **_: {}, inputs=inputs, **(fields | changes)
    )


def test_a_run_is_as_wide_as_its_longest() -> None:
    """Requests of any size, told by their padding or by an input; what is shorter is padded with 0."""
    codec = Codec(_spec())
    wide = np.array([[7, 7, 7, 7, 0, 0]])
    one, other = codec.encode(_request()), codec.encode(_request(wide))
    assert [[7, 7], [7, 0]] == codec.feeds([one])["tokens"].tolist()
    assert (3, 4) == codec.feeds([one, other])["tokens"].shape
    told = Codec(_spec(lengths={"S": "size"}))
    assert (2, 3) == told.feeds([told.encode(_request())])["tokens"].shape


def test_a_request_beyond_the_axis_is_refused() -> None:
    """By name."""
    with pytest.raises(ValueError, match="input 'tokens': a request has shape"):
        Codec(_spec()).encode(_request(np.ones((2, 7), np.int64)))


@pytest.mark.parametrize(
    ("inputs", "changes", "said"),
    [
        (INPUTS, {"lengths": {}}, "axis 'S' of a candidate must be its first and a key of"),
        (INPUTS, {"lengths": {"S": "nobody"}}, "it must name a candidate input"),
        (INPUTS, {"lengths": {"S": "weight"}}, "it must name a candidate input of whole numbers"),
        (INPUTS, {"lengths": {"S": "tokens", "T": "size"}}, "one length axis at most"),
        (
            (candidate("tokens", "int64", 2, "S"), *INPUTS[1:]),
            {"lengths": {"S": "size"}},
            "must be its first",
        ),
        ((*INPUTS, context("user", "int64", "S")), {}, "is the candidates' length axis"),
    ],
)
def test_a_length_axis_that_cannot_be_is_named(
    inputs: Sequence[InputSpec], changes: dict[str, Any], said: str
) -> None:
    """In one sentence, with what to write instead."""
    with pytest.raises(ValueError, match=said):
        _spec(inputs, **changes)
