"""Requests written by hand take their dtypes from the model."""

import msgspec
import numpy as np
import pytest

from podium.cli.json_request import decode
from podium.client import RankingRequest
from podium.client.encode import encode
from protos.manifest import Combine, Format, Golden, Input, Manifest, RequestSet, Scoring, Vocab


@pytest.fixture
def manifest() -> Manifest:
    """A model with a history, an id and two features."""
    return Manifest(
        format=Format(),
        model="movies",
        version=1,
        created="",
        budget_ms=25,
        scoring=Scoring(),
        axes={},
        cost_axes=[],
        inputs=[
            Input(name="history", role="context", dtype="int64", shape=["R", "L"], vocab="item"),
            Input(name="item", role="candidate_id", dtype="int64", shape=["N"], vocab="item"),
            Input(name="age", role="candidate", dtype="float32", shape=["N"]),
            Input(name="country", role="candidate", dtype="int8", shape=["N"]),
            Input(name="weight", role="candidate", dtype="float16", shape=["N"]),
        ],
        vocabs={"item": Vocab(file="item.npy", key="int64", rows=3)},
        outputs=[],
        combine=Combine(weights={"score": 1.0}),
        default_variant="fp32",
        variants={},
        golden=Golden(file="", messages="", requests=0, max_abs=0),
        requests=RequestSet(file="", labels="", count=0),
        source={},
        files=[],
    )


def test_values_get_the_model_s_dtypes(manifest: Manifest) -> None:
    """1 becomes a float of the width that the model takes, an int8, or an id where it looks up."""
    data = {
        "ids": [5, 6],
        "columns": {"age": [1, 2.5], "country": [3, 4], "weight": [0.1, 2]},
        "context": {"history": [7]},
        "prior_scores": [1, 0],
        "top_k": 1,
    }

    expected = RankingRequest(
        model=manifest.model,
        ids=np.array([5, 6], np.int64),
        columns={
            "age": np.array([1, 2.5], np.float32),
            "country": np.array([3, 4], np.int8),
            "weight": np.array([0.1, 2], np.float16),
        },
        context={"history": np.array([7], np.int64)},
        prior_scores=np.array([1, 0], np.float32),
        top_k=1,
    )
    assert encode(expected) == decode(msgspec.json.encode(data), manifest)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"ids": [1], "colums": {}}', "unknown field `colums`"),
        ('{"ids": [1, "a"]}', "ids must be all integers or all strings"),
        ('{"ids": [1], "columns": {"aeg": [1]}}', "'aeg' is not an input"),
        ('{"ids": [1], "columns": {"age": ["x"]}}', "age: could not convert"),
        ('{"ids": [1], "columns": {"country": [300]}}', "country: "),
        ('{"ids": [1], "columns": {"weight": [65520]}}', "weight: a number is too large for float16"),
        ('{"ids": [1], "columns": {"age": [1e39]}}', "age: a number is too large for float32"),
        ("{", "not a request: "),
    ],
)
def test_mistakes_are_named(manifest: Manifest, text: str, said: str) -> None:
    """A mistyped file ends in one sentence that names what is wrong."""
    with pytest.raises(ValueError) as caught:
        decode(text.encode(), manifest)

    assert said in str(caught.value)


def test_what_is_wanted_of_the_heads_goes_along(manifest: Manifest) -> None:
    """Weights and heads to return, as written; the server knows which there are."""
    data = {"ids": [5], "head_weights": {"like": 2, "watch": -0.5}, "return_heads": ["watch", "like"]}
    request = decode(msgspec.json.encode(data), manifest)
    assert {"like": 2.0, "watch": -0.5} == dict(request.head_weights)
    assert ["watch", "like"] == list(request.return_heads)
