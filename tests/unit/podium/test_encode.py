"""Requests become wire messages that mean the same."""

import numpy as np
import pytest

from podium.client import Importance, RankingRequest, Step
from podium.client.channel import message_of, parsed
from podium.client.encode import encode
from podium.client.request import RankingFields
from podium.v1 import ranking_pb2 as pb


def test_every_field_reaches_the_wire() -> None:
    """A request that sets everything arrives with everything, arrays as little-endian bytes."""
    message = message_of(
        "movies",
        ids=np.array([7, 8], np.int64),
        columns={"age": np.array([[1.5], [2.5]], np.float32)},
        context={"history": np.array([3, 4, 5], np.int64)},
        prior_scores=np.array([0.25, 0.5]),
        version=2,
        variant="int8",
        top_k=1,
        floor=Step.SMALLER_VARIANT,
        importance=Importance.CRITICAL,
        tenant="t",
        request_id="r",
        head_weights={"watch": 0.5},
        return_heads=["watch"],
    )

    expected = pb.RankRequest(
        model="movies",
        version=2,
        variant="int8",
        request_id="r",
        context=[
            pb.Tensor(
                name="history", dtype=pb.DTYPE_INT64, shape=[3], data=np.array([3, 4, 5], "<i8").tobytes()
            )
        ],
        candidates=pb.Candidates(
            count=2,
            int_ids=np.array([7, 8], "<i8").tobytes(),
            prior_scores=np.array([0.25, 0.5], "<f4").tobytes(),
            columns=[
                pb.Tensor(
                    name="age",
                    dtype=pb.DTYPE_FLOAT32,
                    shape=[2, 1],
                    data=np.array([1.5, 2.5], "<f4").tobytes(),
                )
            ],
        ),
        top_k=1,
        importance=pb.IMPORTANCE_CRITICAL,
        tenant="t",
        floor=pb.STEP_SMALLER_VARIANT,
        head_weights={"watch": 0.5},
        return_heads=["watch"],
    )
    assert expected == message


def test_what_is_not_said_stays_unspecified() -> None:
    """A bare request sets neither importance, floor nor version: the server's defaults hold."""
    expected = pb.RankRequest(
        model="movies", candidates=pb.Candidates(count=1, int_ids=np.array([9], "<i8").tobytes())
    )

    assert expected == encode(RankingRequest(model="movies", ids=np.array([9])))


def test_string_ids_travel_as_strings() -> None:
    """Ids given as strings are sent as string_ids."""
    message = encode(RankingRequest(model="movies", ids=["a", "bc"]))

    assert ["a", "bc"] == list(message.candidates.string_ids)
    assert b"" == message.candidates.int_ids


def test_keywords_override_the_request() -> None:
    """A request plus keywords is that request with those fields replaced."""
    request = RankingRequest(model="movies", ids=["a"], top_k=5)

    assert encode(RankingRequest(model="movies", ids=["a"], top_k=1)) == message_of(request, top_k=1)


def test_keywords_are_the_request_s_fields() -> None:
    """What `rank` takes as keywords is exactly what a RankingRequest has, its model aside."""
    fields = set(RankingRequest.__dataclass_fields__)

    assert fields - {"model"} == set(RankingFields.__annotations__)


def test_count_comes_from_whatever_says_it() -> None:
    """N is read off the ids, the columns, or the prior scores."""
    counts = [
        RankingRequest(model="m", ids=["a", "b"]).count,
        RankingRequest(model="m", columns={"x": np.zeros((3, 4))}).count,
        RankingRequest(model="m", prior_scores=np.zeros(4)).count,
    ]

    assert [2, 3, 4] == counts


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (RankingRequest(model="m"), "nothing says what to rank"),
        (
            RankingRequest(model="m", ids=["a"], columns={"x": np.zeros(2, np.float32)}),
            "disagree on how many there are (columns[x]: 2, ids: 1)",
        ),
        (RankingRequest(model="m", columns={"x": np.array(1, np.float32)}), "columns[x]: a scalar"),
        (RankingRequest(model="m", ids=np.array([1.5])), "ids must be N integers or N strings"),
        (RankingRequest(model="m", ids=np.array([2**63], np.uint64)), "ids must fit int64"),
        (RankingRequest(model="m", columns={"x": np.zeros(2)}), "dtype float64 cannot be sent"),
    ],
)
def test_what_cannot_be_sent_is_refused_here(request_: RankingRequest, said: str) -> None:
    """A request that no server could read never leaves, and the error names what is wrong."""
    with pytest.raises(ValueError) as caught:
        encode(request_)

    assert said in str(caught.value)


def test_a_message_of_the_caller_is_not_changed() -> None:
    """The client works on a copy of a message it is given."""
    message = pb.RankRequest(model="movies")
    parsed(message).model = "other"

    assert "movies" == message.model


def test_bytes_that_are_no_request_are_refused() -> None:
    """Bytes that do not parse are the caller's mistake, not the server's."""
    with pytest.raises(ValueError, match="not a podium"):
        parsed(b"\xff\xff")
